# frozen_string_literal: true

require_relative "helper"

class TestFork < Minitest::Test
  include Fixtures

  def test_a_child_has_its_own_part
    node = client.route("test", "users", 7)
    events = client.events
    refute_empty events
    found = in_child do
      first = client.route("test", "users", 7)
      second = [client.role, client.status[:attached], first.name, first.equal?(client.route("test", "users", 7))]
      client.close
      second
    end
    assert_includes %i[standby follower], found[0]
    assert_equal [2, node.name, true], found[1..]
    assert_equal :owner, client.role
    assert_same node, client.route("test", "users", 7)
  end

  def test_h177_an_inherited_handle_for_changes_is_refused
    changes = client.changes
    found = in_child do
      refused = begin
        changes.take
      rescue Tendmap::ForkedError => e
        [e.code, e.message]
      end
      own = client.changes
      [refused, own.take == client.sequence, client.wait_for_change(0) == client.sequence]
    end
    assert_equal 5, found[0][0]
    assert_match(/belongs to the parent process; make another one/, found[0][1])
    assert_equal [true, true], found[1..]
    assert_kind_of Integer, changes.take
  end

  def test_a_lazy_client_connects_in_the_child
    lazy = Tendmap::Client.new(@cluster.hosts, lazy: true, **@settings)
    roles = in_child { lazy.connect.role }
    assert_equal :owner, roles
    assert_includes %i[owner follower standby], lazy.role
    lazy.close
  end

  def test_a_reader_reads_on_in_a_child
    reader = self.reader
    name = reader.route("test", "users", 1).name
    assert_equal name, in_child { reader.route("test", "users", 1).name }
  end

  def test_a_child_takes_over_from_a_dead_parent
    # A process of its own is the parent, so that it can be killed.
    code = <<~RUBY
      require "tendmap"
      client = Tendmap::Client.new(ARGV.fetch(0).split(","), shm_directory: ARGV.fetch(1), tend_interval: 0.05)
      $stdout.sync = true
      fork do
        puts client.route("test", "users", 1).name, client.role
        $stdin.read
        Process.kill(9, Process.ppid)
        sleep 0.005 until client.role == :owner
        puts client.route("test", "users", 1).name, client.role
        exit! 0
      end
      sleep
    RUBY
    from, to = IO.pipe
    go, start = IO.pipe
    pid = spawn(RbConfig.ruby, *include_path, "-e", code, @cluster.hosts.join(","), @directory, in: go, out: to)
    [to, go].each(&:close)
    start.close
    lines = Timeout.timeout(60) { from.read }.lines.map(&:chomp)
    Process.wait pid
    assert_equal [lines[0], "owner"], lines[2..]
    assert_includes %w[standby follower], lines[1]
  end

  def test_h178_the_end_of_the_process_hands_the_ownership_over
    code = <<~RUBY
      require "tendmap"
      client = Tendmap::Client.new(ARGV.fetch(0).split(","), shm_directory: ARGV.fetch(1), tend_interval: 0.05)
      at_exit { puts client.route("test", "users", 1).name }
      GC.stress = true if ARGV.fetch(2) == "stress"
      Thread.new { client.wait_for_change }
      fork { client.role }
      Process.wait
      puts client.role
      raise "the program fails" if ARGV.fetch(2) == "fails"
      exit!(0) if ARGV.fetch(2) == "at once"
    RUBY
    ["", "stress", "fails"].each do |how|
      written, status = ruby(code, @cluster.hosts.join(","), @directory, how)
      assert_equal how != "fails", status.success?, written
      # The child's own exit prints a node as well, and ends nothing of its parent's.
      assert_equal 3, written.lines.grep(/^(owner|BB9\w+)$/).size, written
      refute_match(/terminated with exception/, written)
      # It has removed the segment, as the last process does that closes.
      assert_equal [], Dir.children(@directory).grep_v(/lock/), how
    end
    _, status = ruby(code, @cluster.hosts.join(","), @directory, "at once")
    assert_predicate status, :success?
    wait_until("this process takes over") { client.role == :owner }
  end

  def test_a_client_is_closed_in_a_signal_handler
    code = <<~RUBY
      require "tendmap"
      client = Tendmap::Client.new(ARGV.fetch(0).split(","), shm_directory: ARGV.fetch(1), tend_interval: 0.05)
      trap("TERM") { client.close; exit }
      Process.kill("TERM", Process.pid)
      client.wait_for_change
    RUBY
    written, status = ruby(code, @cluster.hosts.join(","), @directory)
    assert_predicate status, :success?, written
    assert_equal [], Dir.children(@directory).grep_v(/lock/)
  end
end
