# frozen_string_literal: true

require_relative "helper"

class TestErrors < Minitest::Test
  include Fixtures

  # Its methods can't be called, and its class can't be asked in the usual way.
  class Bare < BasicObject; end

  ODD = [nil, true, false, 1.0, 1.5, Float::NAN, 2**63, -(2**63) - 1, :test, [], {}, Object, 1r, 2i, 1..2,
         Bare.new].freeze

  def test_h176_no_argument_of_a_wrong_type_is_converted
    client.connect
    calls = {
      key: [->(it) { client.route("test", "users", it) }, [Float]],
      batch: [->(it) { client.route_batch("test", "users", [it]) }, [Float]],
      set: [->(it) { client.route("test", it, 1) }, [NilClass]],
      namespace: [->(it) { client.locate(it, "users", 1) }, []],
      keys: [->(it) { client.route_batch("test", "users", it) }, [Array, Hash, Range]],
      route: [->(it) { client.retry(it) }, []],
      hosts: [->(it) { Tendmap::Client.new(it, lazy: true) }, []],
      lazy: [->(it) { Tendmap::Client.new("a", lazy: it) }, [TrueClass, FalseClass]],
      user: [->(it) { Tendmap::Client.new("a", lazy: true, user: it) }, [NilClass]],
      shm_directory: [->(it) { Tendmap::Client.new("a", lazy: true, shm_directory: it) }, [NilClass]],
      "timeout of a handle": [->(it) { client.changes.wait(timeout: it) }, [Float, Rational, Integer, NilClass]],
      sequence: [->(it) { client.wait_for_change(it, timeout: 0) }, [Integer]],
      timeout: [->(it) { client.wait_for_change(client.sequence, timeout: it) }, [Float, Rational, Integer, NilClass]],
      bytes: [->(it) { Tendmap::Bytes.new(it) }, []]
    }
    calls.each do |what, (call, taken)|
      ODD.each do |value|
        next if taken.any? { |type| type === value }

        error = assert_raises(Tendmap::Error, what.to_s) { call.call(value) }
        assert_includes [1, 10, 11], error.code, "#{what}: #{error.message}"
      end
    end
    keys = [7, "7", 7.0, Tendmap::Bytes.new("7")]
    assert_equal 4, keys.map { |key| Tendmap.digest("users", key) }.uniq.size
  end

  def test_errors_say_what_was_found_and_what_is_wanted
    {
      ["test", "users", 2**63] => "key 9223372036854775808; wanted an integer of 64 bits, signed",
      ["test", "users", :ann] => "key of type Symbol; wanted Integer, String, Float or Tendmap::Bytes",
      ["test", "users", true] => "key of type TrueClass; wanted Integer, String, Float or Tendmap::Bytes",
      ["test", "users", "\xff"] => "key is not UTF-8: it is not valid text in its encoding",
      ["te\0st", "users", 1] => "namespace has a zero byte; only keys may have one",
      ["test", "us\0ers", 1] => "set has a zero byte; only keys may have one",
      ["test", :users, 1] => "set of type Symbol; wanted String",
      [nil, "users", 1] => "namespace of type NilClass; wanted String"
    }.each do |arguments, text|
      error = assert_raises(Tendmap::ArgumentError) { client.route(*arguments) }
      assert_equal [1, text], [error.code, error.message]
    end
    error = assert_raises(Tendmap::NamespaceUnknownError) { client.route("nope", "users", 1) }
    assert_match(/no namespace "nope"/, error.message)
    assert_kind_of Tendmap::RouteError, error
    error = assert_raises(Tendmap::ConfigError) { Tendmap::Client.new("a\0b", lazy: true) }
    assert_equal "hosts has a zero byte; wanted text without it", error.message
    error = assert_raises(Tendmap::ConfigError) { Tendmap::Client.new("a", lazy: true, user: "u", password: "se\0cret") }
    refute_match(/cret/, error.message)
  end

  def test_h176_a_binary_string_is_not_guessed_to_be_text_or_bytes
    error = assert_raises(Tendmap::ArgumentError) { client.route("test", "users", "ann".b) }
    assert_match(/encoding BINARY; a text needs force_encoding/, error.message)
    bytes = client.locate("test", "users", Tendmap::Bytes.new("ann")).partition
    text = client.locate("test", "users", "ann".b.force_encoding("UTF-8")).partition
    assert_equal text, client.locate("test", "users", "ann").partition
    refute_equal bytes, text
    %w[UTF-16LE ISO-8859-1 UTF-8].each do |encoding|
      assert_equal Tendmap.digest("ü", "ä"), Tendmap.digest("ü".encode(encoding), "ä".encode(encoding))
    end
    # A name is always text.
    assert_same client.route("test", "ü", 1), client.route("test".b, "ü".b, 1)
    assert_raises(Tendmap::ArgumentError) { client.route("test", "\xff".b, 1) }
  end

  def test_a_timeout_is_a_number_of_seconds_in_range
    # Longer than Ruby can wait is for ever.
    [Float::INFINITY, 10**30, 1e18].each do |value|
      assert_equal client.sequence, client.wait_for_change(0, timeout: value)
      thread = Thread.new { client.changes.wait(timeout: value) }
      wait_until("the thread waits") { thread.status == "sleep" }
      thread.kill.join
    end
    [Float::NAN, -1, -0.5, "1"].each do |value|
      [-> { client.wait_for_change(timeout: value) }, -> { client.changes.wait(timeout: value) }].each do |call|
        error = assert_raises(Tendmap::ArgumentError, value.to_s) { call.call }
        assert_match(/\Atimeout (is|of type) .*; wanted seconds, or nil to wait for ever\z/, error.message)
      end
    end
  end

  def test_a_made_up_route_is_refused
    route = client.locate("test", "users", 1)
    good = route.to_h
    assert_equal client.retry(route).to_h, client.retry(Tendmap::Route.new(**good)).to_h
    [[:node, nil], [:namespace, :test], [:partition, -1], [:partition, 1.5], [:replica, 2**16], [:sequence, "1"], [:policy, 7]].each do |field, value|
      error = assert_raises(Tendmap::ArgumentError, field.to_s) { Tendmap::Route.new(**good, field => value) }
      assert_match(/#{field} of a route/, error.message)
    end
    error = assert_raises(Tendmap::OutOfRangeError) { client.retry(Tendmap::Route.new(**good, partition: 4096)) }
    assert_match(/4096/, error.message)
    assert_equal good, Marshal.load(Marshal.dump(route)).to_h.merge(node: route.node)
  end

  # A String whose conversion is interrupted, as by Timeout or another thread.
  def interrupted(&block)
    text = +"ann"
    text.force_encoding("ISO-8859-1").define_singleton_method(:encode) { |*| block.call }
    text
  end

  def test_h189_an_interrupt_of_a_conversion_is_not_an_invalid_key
    client.connect
    calls = [->(it) { client.route("test", "users", it) }, ->(it) { client.locate("test", it, 1) },
             ->(it) { client.route_batch("test", "users", [1, it]) }, ->(it) { client.route("test", "users", 1, policy: it) },
             ->(it) { Tendmap::Client.new(it, lazy: true) }]
    calls.each do |call|
      assert_raises(Timeout::Error) { call.call(interrupted { raise Timeout::Error }) }
      assert_raises(NoMemoryError) { call.call(interrupted { raise NoMemoryError }) }
      assert_equal :thrown, catch(:out) { call.call(interrupted { throw :out, :thrown }) }
      killed = Thread.new { call.call(interrupted { Thread.current.kill }) }
      assert_nil killed.value
      error = assert_raises(Tendmap::ArgumentError) { call.call(interrupted { "\xff".encode("UTF-8", "UTF-16BE") }) }
      assert_match(/is not valid text/, error.message)
    end
    ended = 0
    3.times do
      Timeout.timeout(0.0005) { loop { client.route("test", "users", "\xe9".dup.force_encoding("ISO-8859-1")) } }
    rescue Timeout::Error
      ended += 1
    end
    assert_equal 3, ended
  end

  def test_h198_a_closed_client_has_no_descriptors
    client.connect
    GC.start
    GC.disable
    before = Dir.children("/proc/self/fd").size
    kept = Array.new(30) do |index|
      handle = index.even? ? Tendmap::Reader.new(**@settings) : Tendmap::Client.new(@cluster.hosts, shm_key: index, **@settings)
      handle.route("test", "users", 1)
      handle.close
      handle
    end
    wait_until("their descriptors are closed") { Dir.children("/proc/self/fd").size <= before + 3 }
    kept.each do |handle|
      error = assert_raises(Tendmap::ClosedError) { handle.status }
      assert_equal "the #{Tendmap::Reader === handle ? 'reader' : 'client'} is closed", error.message
    end
  ensure
    GC.enable
  end

  def test_a_closed_client_stays_closed
    client.connect
    thread = Thread.new { client.wait_for_change(timeout: 60) }
    thread.report_on_exception = false
    changes = client.changes
    wait_until("the thread waits") { thread.status == "sleep" }
    2.times { client.close }
    assert_predicate client, :closed?
    assert_raises(Tendmap::ClosedError) { thread.value }
    assert_raises(Tendmap::ClosedError) { changes.take }
    calls = [-> { client.route("test", "users", 1) }, -> { client.role }, -> { client.status }, -> { client.connect },
             -> { client.changes }, -> { client.events }, -> { client.nodes }, -> { client.locate("test", nil, 1) },
             -> { client.route_batch("test", nil, [1]) }, -> { client.sequence }, -> { client.request_tend },
             -> { client.wait_for_change(0) }]
    calls.each do |call|
      error = assert_raises(Tendmap::ClosedError) { call.call }
      assert_equal [2, "the client is closed"], [error.code, error.message]
    end
    assert_match(/, closed>\z/, client.inspect)
    lazy = Tendmap::Client.new(@cluster.hosts, lazy: true, **@settings)
    lazy.close
    assert_raises(Tendmap::ClosedError) { lazy.route("test", "users", 1) }
    assert_raises(Tendmap::ClosedError) { lazy.connect }
  end

  def test_objects_are_not_copied_nor_made_without_new
    assert_raises(TypeError) { client.dup }
    assert_raises(TypeError) { client.changes.clone }
    [client, reader, client.changes].each do |object|
      error = assert_raises(TypeError) { Marshal.dump(object) }
      assert_match(/can't dump a #{object.class}; /, error.message)
    end
    assert_raises(Tendmap::ArgumentError) { Tendmap::Client.allocate.route("test", "users", 1) }
    assert_nil Tendmap::Client.allocate.close
    assert_raises(NoMethodError) { Tendmap::Node.new }
    assert_raises(NoMethodError, TypeError) { Tendmap::Changes.new }
    assert_raises(Tendmap::ArgumentError) { client.send(:initialize, "a", lazy: true) }
  end

  def test_h178_another_ractor_is_refused_and_may_use_nodes
    node = client.route("test", "users", 1)
    code = <<~RUBY
      require "tendmap"
      Warning[:experimental] = false
      cluster = Tendmap::SimulatedCluster.new(3)
      client = Tendmap::Client.new(cluster.hosts, shm_directory: ARGV.fetch(0))
      node = client.route("test", nil, 1)
      found = Ractor.new(node) { |node| [node.address, (Tendmap.digest("a", 1) rescue $!.class.name)] }.take
      p found == [node.address, "Ractor::UnsafeError"]
      p((Ractor.make_shareable(client) rescue $!.class))
    RUBY
    written, status = ruby(code, Dir.mktmpdir("r", @directory))
    assert_predicate status, :success?, written
    assert_equal ["true", "Ractor::Error"], written.lines.map(&:chomp), written
    assert Ractor.shareable?(node)
  end

  def test_a_cluster_that_does_not_answer
    error = assert_raises(Tendmap::TendError) { Tendmap::Client.new("127.0.0.1:1", **@settings) }
    assert_equal 15, error.code
    assert_equal [], Dir.children(@directory).grep(/\.seg/)
    error = assert_raises(Tendmap::TendError) { Tendmap::Client.new(@cluster.hosts, cluster_name: "x", **@settings) }
    assert_match(/belongs to cluster "lab", wanted "x"/, error.message)
  end

  def test_secrets_are_not_shown
    lazy = Tendmap::Client.new("a", lazy: true, user: "u", password: "se-cret", auth_mode: "EXTERNAL_INSECURE")
    refute_match(/se-cret/, lazy.inspect)
    refute_includes lazy.instance_variables.map { |name| lazy.instance_variable_get(name).inspect }.join, "se-cret"
  end
end
