# frozen_string_literal: true

require_relative "helper"

class TestClient < Minitest::Test
  include Fixtures

  def test_routes_agree_with_the_cluster
    owners = @cluster.owners("test")
    [42, -1, 2**63 - 1, -(2**63), "ann", "", "ü", 1.5, Tendmap::Bytes.new("\xff\0")].each do |key|
      route = client.locate("test", "users", key)
      assert_equal owners[route.partition][route.replica], route.node.name
      assert_same route.node, client.route("test", "users", key)
      assert_includes @cluster.hosts, route.node.address
    end
  end

  def test_a_node_is_one_frozen_object
    node = client.route("test", "users", 42)
    assert_same node, client.route("test", "users", 42)
    assert_predicate node, :frozen?
    assert Ractor.shareable?(node)
    assert_equal node.address, "#{node.host}:#{node.port}"
    assert_match(/\A#<Tendmap::Node #{node.name} at 127\.0\.0\.1:\d+>\z/, node.inspect)
    case node
    in {name: String => name, host: "127.0.0.1", port: Integer} then assert_equal node.name, name
    end
    assert_equal client.nodes, client.nodes.uniq
    assert(client.nodes.any? { |known| known.equal?(node) })
    assert_equal client.nodes.map(&:index), [0, 1, 2]
  end

  def test_policies_and_retry
    assert_equal %i[master sequence any random prefer_rack], Tendmap::POLICIES
    Tendmap::POLICIES.each { |policy| assert_kind_of Tendmap::Node, client.route("test", "users", 1, policy: policy) }
    assert_equal 2, (0..9).map { client.route("test", "users", 1, policy: :any) }.uniq.size
    master = client.locate("test", "users", 1)
    assert_equal [0, :sequence, "test"], [master.replica, master.policy, master.namespace]
    second = client.retry(master)
    assert_equal [1, master.partition], [second.replica, second.partition]
    refute_same master.node, second.node
    assert_same master.node, client.retry(client.locate("test", "users", 1, policy: "master")).node
    assert_operator master.sequence, :>, 0
    assert_match(/partition #{master.partition}, replica 0/, master.inspect)
    error = assert_raises(Tendmap::ArgumentError) { client.route("test", "users", 1, policy: :best) }
    assert_match(/policy is "best"; wanted "master"/, error.message)
    assert_raises(ArgumentError) { client.route("test", "users", 1, colour: 1) }
    assert_raises(ArgumentError) { client.route("test", "users") }
  end

  def test_a_batch_agrees_with_single_routes
    [(0...5000).to_a, (0...100).map(&:to_s), [1, "1", 1.0, Tendmap::Bytes.new("1")], []].each do |keys|
      batch = client.route_batch("test", "users", keys)
      assert_equal keys.size, batch.size
      singles = keys.map { |key| client.route("test", "users", key) }
      assert(batch.to_a.zip(singles).all? { |found, single| found.equal?(single) })
      assert_equal singles.map(&:index), batch.indexes
      assert_equal batch.packed.unpack("S*"), batch.indexes
      assert_equal keys.each_index.to_a, batch.groups.values.flatten.sort
    end
    batch = client.route_batch("test", nil, 1..3)
    assert_same batch[1], client.route("test", nil, 2)
    assert_nil batch[3]
    assert_raises(Tendmap::ArgumentError) { client.route_batch("test", "users", [1, nil]) }
    assert_raises(Tendmap::ArgumentError) { client.route_batch("test", "users", 7) }
    error = assert_raises(Tendmap::NamespaceUnknownError) { client.route_batch("nope", "users", [1]) }
    assert_equal 23, error.code
  end

  def test_status_role_namespaces_events
    assert_equal :owner, client.role
    assert_equal ["test"], client.namespaces
    assert_kind_of Integer, client.status[:sequence]
    assert_equal client.status[:sequence], Tendmap.status(shm_directory: @directory)[:sequence]
    events = client.events
    added = events.select { |event| event.type == :node_added }
    assert_equal client.nodes.map(&:name).sort, added.map { |event| event[:node] }.sort
    case added.first
    in {type: :node_added, level: :info, node: String, time: Time => time} then assert_in_delta Time.now.to_f, time.to_f, 600
    end
    assert_match(/\Anode_added node=/, added.first.to_s)
    assert_equal 1, added.first.severity
    assert_equal [], client.each_event.to_a
  end

  def test_a_reader_reads_what_the_client_tends
    client.connect
    reader = self.reader
    assert_equal client.route("test", "users", 7).address, reader.route("test", "users", 7).address
    assert_equal client.sequence, reader.sequence
    assert_equal 3, reader.nodes.size
    assert_equal client.status[:sequence], reader.status[:sequence]
    assert_equal 2, reader.route_batch("test", "users", [1, 2]).size
    assert_equal client.sequence, reader.wait_for_change(0)
    reader.close
    error = assert_raises(Tendmap::ClosedError) { reader.route("test", "users", 7) }
    assert_equal [2, "the reader is closed"], [error.code, error.message]
    refute_respond_to reader, :role
    error = assert_raises(Tendmap::SegmentError) { Tendmap::Reader.new(shm_directory: @directory, shm_key: 5) }
    assert_equal 12, error.code
    assert_raises(Tendmap::OtherClusterError) { Tendmap::Reader.new(shm_directory: @directory, cluster_name: "x") }
  end

  def test_a_reader_has_no_thread_and_needs_only_permission_to_read
    path = client.status[:path]
    if Process.uid.zero?
      File.chmod(0o755, @directory)
      File.chown(nil, 65534, path)
      File.chmod(0o640, path)
    else
      puts "skipped: only root can become another user"
    end
    code = <<~RUBY
      require "tendmap"
      directory, owner = ARGV
      if Process.uid.zero?
        Process.groups = []
        Process::GID.change_privilege(65534)
        Process::UID.change_privilege(65534)
      end
      threads = -> { Dir.children("/proc/self/task").size }
      before = threads.call
      reader = Tendmap::Reader.new(shm_directory: directory, shm_owner: owner)
      name = reader.route("test", "users", 1).name
      reader.route_batch("test", "users", [1])
      reader.nodes
      reader.status
      # A thread that has attached it may still be ending.
      sleep 0.005 while threads.call > before
      changes = reader.changes
      puts name, threads.call > before
    RUBY
    written, status = ruby(code, @directory, Process.uid.to_s)
    assert_predicate status, :success?, written
    assert_equal [client.route("test", "users", 1).name, "true"], written.split
  end

  def test_racks
    cluster = Tendmap::SimulatedCluster.new(3, namespaces: { "test" => 3 }, enterprise: true)
    (1..3).each { |number| cluster.set_rack(number, "test", number) }
    cluster.settle
    Tendmap::Client.open(cluster.hosts, shm_key: 9, preferred_racks: [2], **@settings) do |client|
      # The racks may come with a later pass.
      wait_until("one node is preferred") do
        (0...50).map { |key| client.route("test", nil, key, policy: :prefer_rack) }.uniq.size == 1
      end
      second = client.route("test", nil, 1, policy: :prefer_rack)
      client.preferred_racks = [3]
      wait_until("another node is preferred") { !client.route("test", nil, 1, policy: :prefer_rack).equal?(second) }
      client.tend_interval = 0.06
      assert_raises(Tendmap::ConfigError) { client.tend_interval = 0 }
      assert_raises(Tendmap::ConfigError) { client.password = "secret" }
    end
  ensure
    cluster&.close
  end

  def test_every_setting_is_a_keyword
    table = File.read(File.expand_path("../../../docs/SETTINGS.md", __dir__)).scan(/^\| `(\w+)` \| (\S+)/)
    assert_operator table.size, :>, 30
    signatures = File.read(File.expand_path("../sig/tendmap.rbs", __dir__))
    (table.map(&:first) - ["hosts"]).each do |name|
      assert_match(/^      \?#{name}: \(/, signatures)
      Tendmap::Client.new("a", lazy: true, name.to_sym => nil)
      error = assert_raises(Tendmap::Error, name) { Tendmap::Client.new("a", lazy: true, name.to_sym => Object.new) }
      assert_match(/\A#{name} of type Object; wanted/, error.message)
    end
    Tendmap::Client.new([["a", 1], ["::1", 2, "tls"], "b:3"], lazy: true, shm_mode: 0o660, shm_key: 0xA7000001,
                        tend_interval: 1r / 2, connect_timeout: "500ms", preferred_racks: [1, 2], shm_backend: :sysv,
                        ip_map: { "a" => "b" }, shm_owner: ["root", 5], c_client: ["0xAC000000:7.6.1"], use_shm: true,
                        shm_directory: Pathname("/dev/shm"), auth_mode: :INTERNAL)
    error = assert_raises(Tendmap::ConfigError) { Tendmap::Client.new("a", lazy: true, colour: 1) }
    assert_equal 10, error.code
    assert_raises(Tendmap::ConfigError) { Tendmap::Client.new("a", lazy: true, shm_mode: -1) }
  end

  def test_a_private_map
    Tendmap::Client.open(@cluster.hosts, use_shm: false) do |client|
      assert_kind_of Tendmap::Node, client.route("test", "users", 1)
      name = in_child { client.route("test", "users", 1).name }
      assert_equal client.route("test", "users", 1).name, name
    end
  end

  def test_the_version_is_that_of_the_library
    assert_equal Tendmap::VERSION, Tendmap.send(:const_get, :VERSION_OF_EXTENSION)
  end

  def test_the_example_runs_against_the_simulator
    example = File.expand_path("../examples/simulated.rb", __dir__)
    written, status = ruby("load ARGV.fetch(0)", example)
    assert_predicate status, :success?, written
    assert_match(/42 is on .* at 127\.0\.0\.1:\d+/, written)
    assert_match(/the map has changed/, written)
  end
end
