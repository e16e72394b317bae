# frozen_string_literal: true

require_relative "helper"

class TestGarbage < Minitest::Test
  include Fixtures

  def test_h178_routes_survive_a_collection_at_every_allocation
    client.connect
    GC.stress = true
    nodes = (0...20).map { |key| client.route("test", "us#{key}", "key#{key}", policy: :any) }
    batch = client.route_batch("test", "users", [1, "2", 3.0])
    route = client.retry(client.locate("test", "users", 1))
    changes = client.changes
    changes.to_io
    changes.take
    begin
      client.route("test", "users", nil)
    rescue Tendmap::ArgumentError => e
      text = e.message
    end
    events = client.events
    GC.stress = false
    assert(nodes.all? { |node| client.nodes.any? { |known| known.equal?(node) } })
    assert_equal 3, batch.to_a.compact.size
    assert_equal 1, route.replica
    assert_match(/NilClass/, text)
    refute_empty events
  ensure
    GC.stress = false
  end

  def test_h178_compaction_moves_nothing_that_is_used
    skipped "this Ruby does not compact" unless GC.respond_to?(:compact)
    before = client.nodes
    GC.verify_compaction_references(toward: :empty, double_heap: true)
    assert_equal before.map(&:object_id), client.nodes.map(&:object_id)
    assert_same client.route("test", "users", 1), client.route("test", "users", 1)
    GC.compact
    assert_includes before, client.route("test", "users", 1)
  end

  def test_a_forgotten_client_is_closed
    Thread.new do
      forgotten = Tendmap::Client.new(@cluster.hosts, shm_key: 5, **@settings)
      forgotten.route("test", "users", 1)
      nil
    end.join
    wait_until("its segment is gone") do
      GC.start
      Array.new(100) { Object.new }
      begin
        Tendmap.status(shm_key: 5, shm_directory: @directory)[:attached] == 0
      rescue Tendmap::SegmentError
        true
      end
    end
  end

  def test_threads_share_a_client_while_the_map_changes
    client.connect
    stop = false
    threads = Array.new(4) do |seed|
      Thread.new do
        count = 0
        until stop
          node = client.route("test", "users", seed + count)
          raise "not its object" unless node.instance_of?(Tendmap::Node)

          count += 1
          Thread.pass if count % 1000 == 0
        end
        count
      end
    end
    3.times do
      sequence = client.sequence
      number = @cluster.add
      client.wait_for_change(sequence, timeout: 60)
      @cluster.kill(number)
    end
    stop = true
    assert(threads.all? { |thread| thread.value.positive? })
  end

  # While one thread makes the object of a node, another one sees the next node of its index.
  def test_h242_the_object_of_a_former_node_replaces_no_newer_one
    client.connect
    gone = client.locate("test", "users", 0).node
    reader = self.reader
    slowly = Module.new do
      define_method(:_of) do |*fields|
        during, @during = @during, nil
        during&.call
        super(*fields)
      end
      private :_of
    end
    Tendmap::Node.singleton_class.prepend(slowly)
    replaced = lambda do
      @cluster.kill(@cluster.hosts.index(gone.address) + 1)
      wait_until("it has left") { reader.nodes.size == 2 }
      @cluster.add
      wait_until("another has its index") { reader.nodes.any? { |node| node.index == gone.index } }
      wait_until("it has partitions") { (0..99).any? { |key| reader.route("test", "users", key).index == gone.index } }
    end
    Tendmap::Node.instance_variable_set(:@during, replaced)
    former = reader.route("test", "users", 0)
    assert_equal [gone.index, gone.name], [former.index, former.name]
    names = client.nodes.map(&:name)
    refute_includes names, gone.name
    found = Array.new(100) { |key| reader.route("test", "users", key) }
    assert_includes found.map(&:index), gone.index
    assert_empty found.map(&:name).uniq - names
    # It is one object, whichever thread found it first.
    assert_equal 1, found.select { |node| node.index == gone.index }.uniq.size
    assert(reader.nodes.all? { |node| found.none? { |other| other.index == node.index && !other.equal?(node) } })
  end
end
