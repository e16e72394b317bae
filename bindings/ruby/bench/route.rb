# frozen_string_literal: true

# What a route costs, beside what a Ruby program would use instead: the key's digest by
# OpenSSL and a table of the partitions.
#
#   rake compile && ruby -Ilib bench/route.rb
#
# Interleaved rounds, timed by the process's own processor time; medians. With
# TENDMAP_ROUTE_LIMIT (ns) it fails if a route costs more; ROUNDS=3 is enough for that.
require "digest"
require "openssl"
require "tendmap"
require "tmpdir"

ROUNDS = Integer(ENV.fetch("ROUNDS", "31"))
KEYS = 20_000

def seconds
  before = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
  yield
  Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - before
end

# The digest as Aerospike defines it: the set, the type of the key, the key.
def message(set, key)
  String === key ? "#{set}\x03#{key}" : "#{set}\x01#{[key].pack('q>')}"
end

# RIPEMD-160 is in OpenSSL 3's legacy provider, where a Ruby can't load it.
def openssl
  digest = OpenSSL::Digest.new("RIPEMD160")
  digest.digest("")
  digest
rescue StandardError
  nil
end

class Empty
  def route(_namespace, _set, _key); end
end

Dir.mktmpdir("tendmap-", "/dev/shm") do |directory|
  cluster = Tendmap::SimulatedCluster.new(3)
  client = Tendmap::Client.new(cluster.hosts, shm_directory: directory)
  texts = Array.new(KEYS) { |key| "user-#{key}" }
  numbers = (0...KEYS).to_a
  table = {}
  numbers.each { |key| route = client.locate("test", "users", key); table[route.partition] = route.node }
  table.default = client.nodes.first
  empty = Empty.new
  ripemd = openssl
  by_digest = lambda do |make, key|
    table[make.call(message("users", key)).unpack1("S<") & 4095]
  end
  same = numbers.first(200).all? { |key| by_digest.call(Digest::RMD160.method(:digest), key).equal?(client.route("test", "users", key)) }
  raise "the program's own table differs" unless same

  contenders = {
    "an empty method" => [KEYS, -> { numbers.each { |key| empty.route("test", "users", key) } }],
    "one integer key" => [KEYS, -> { numbers.each { |key| client.route("test", "users", key) } }],
    "one text key" => [KEYS, -> { texts.each { |key| client.route("test", "users", key) } }],
    "one integer key, with a policy" => [KEYS, -> { numbers.each { |key| client.route("test", "users", key, policy: :any) } }],
    "a batch of integer keys" => [KEYS, -> { client.route_batch("test", "users", numbers).indexes }],
    "a batch of text keys" => [KEYS, -> { client.route_batch("test", "users", texts).indexes }],
    "Digest::RMD160 and a Hash" => [KEYS, -> { numbers.each { |key| by_digest.call(Digest::RMD160.method(:digest), key) } }],
    "attach a reader" => [100, -> { 100.times { Tendmap::Reader.new(shm_directory: directory).close } }]
  }
  if ripemd
    contenders["OpenSSL::Digest and a Hash"] = [KEYS, -> { numbers.each { |key| by_digest.call(ripemd.method(:digest), key) } }]
  else
    puts "OpenSSL::Digest has no RIPEMD160 here"
  end
  found = contenders.transform_values { [] }
  ROUNDS.times { contenders.each { |name, (count, work)| found[name] << (seconds(&work) / count) } }
  medians = found.transform_values { |times| times.sort[times.size / 2] * 1e9 }
  medians.each { |name, median| printf("%-32s %10.0f ns\n", name, median) }
  client.close
  cluster.close
  limit = Float(ENV.fetch("TENDMAP_ROUTE_LIMIT", Float::INFINITY))
  abort "a route costs more than #{limit} ns" if medians["one integer key"] > limit
end
