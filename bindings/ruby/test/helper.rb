# frozen_string_literal: true

# Gems of the tests (async, unicorn) are in a folder of their own.
$LOAD_PATH.unshift File.expand_path("../lib", __dir__) unless ENV["TENDMAP_INSTALLED"]
require "minitest/autorun"
require "tendmap"
require "tmpdir"
require "timeout"
require "etc"
require "fileutils"
require "pathname"

# A simulated cluster, and a directory for segments.
module Fixtures
  def setup
    @directory = Dir.mktmpdir("tendmap-rb-", "/dev/shm")
    @cluster = Tendmap::SimulatedCluster.new(3, namespaces: { "test" => 2 }, cluster_name: "lab")
    @settings = { shm_directory: @directory, tend_interval: 0.05 }
  end

  def teardown
    @client&.close
    @cluster.close
    FileUtils.rm_rf(@directory)
  end

  def client
    @client ||= Tendmap::Client.new(@cluster.hosts, **@settings)
  end

  def reader
    client
    Tendmap::Reader.new(shm_directory: @directory)
  end

  # Waits until the block is true, and fails after a generous time.
  def wait_until(what, at_most = 60)
    ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + at_most
    until (found = yield)
      flunk "waited in vain: #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > ends
      sleep 0.005
    end
    found
  end

  # The result of the block in a forked child, through Marshal.
  def in_child
    from, to = IO.pipe
    pid = fork do
      from.close
      found = begin
        [:ok, yield]
      rescue Exception => e # rubocop:disable Lint/RescueException
        [:failed, "#{e.class}: #{e.message}\n#{e.backtrace.first(5).join("\n")}"]
      end
      to.write Marshal.dump(found)
      to.close
      # The child runs nothing of its parent's tests.
      exit! 0
    end
    to.close
    written = Timeout.timeout(60) { from.read }
    Process.wait pid
    assert_predicate $?, :success?
    state, found = Marshal.load(written)
    flunk found if state == :failed
    found
  ensure
    from&.close
  end

  # What a program prints; it loads the same gem.
  def ruby(code, *arguments, **environment)
    command = [RbConfig.ruby, "-w", *include_path, "-e", code, *arguments]
    environment = environment.transform_keys(&:to_s)
    from, to = IO.pipe
    pid = spawn(environment, *command, out: to, err: to)
    to.close
    written = Timeout.timeout(120) { from.read }
    Process.wait pid
    [written, $?]
  ensure
    from&.close
  end

  def include_path
    ENV["TENDMAP_INSTALLED"] ? [] : ["-I", File.expand_path("../lib", __dir__)]
  end

  def skipped(why)
    File.open(ENV["TENDMAP_SKIPS"], "a") { |file| file.puts "ruby: #{why}" } if ENV["TENDMAP_SKIPS"]
    puts "skipped: #{why}"
    skip why
  end
end
