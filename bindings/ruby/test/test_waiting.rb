# frozen_string_literal: true

require_relative "helper"

class TestWaiting < Minitest::Test
  include Fixtures

  def test_a_change_wakes_a_thread_while_others_run
    sequence = client.sequence
    counted = 0
    counter = Thread.new { loop { counted += 1 } }
    @cluster.kill(3)
    assert_operator client.wait_for_change(sequence), :>, sequence
    before = counted
    wait_until("the other thread runs") { counted > before }
    counter.kill
    sequence = client.sequence
    assert_operator client.wait_for_change(0), :>=, sequence
  end

  def test_a_timeout_returns_the_same_sequence
    @cluster.settle
    reader = self.reader
    sequence = reader.sequence
    assert_equal sequence, reader.wait_for_change(sequence, timeout: 0)
    assert_equal sequence, reader.wait_for_change(timeout: 0.01)
  end

  def test_h177_kill_timeout_and_signals_end_a_wait
    client.connect
    reader = self.reader
    thread = Thread.new { reader.wait_for_change }
    wait_until("the thread waits") { thread.status == "sleep" }
    thread.kill
    assert thread.join(60)
    assert_raises(Timeout::Error) { Timeout.timeout(0.05) { reader.wait_for_change } }
    former = trap("USR1") { raise Interrupt }
    waiter = Thread.current
    Thread.new { wait_until("the thread waits") { waiter.status == "sleep" }; Process.kill("USR1", Process.pid) }
    assert_raises(Interrupt) { reader.wait_for_change(timeout: 60) }
    trap("USR1", former)
    assert_kind_of Integer, reader.sequence
  end

  def test_h177_an_interrupted_connect_leaves_nothing_behind
    @cluster.hosts.each_index { |index| @cluster.freeze_node(index + 1) }
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    assert_raises(Timeout::Error) do
      Timeout.timeout(0.1) { Tendmap::Client.new(@cluster.hosts, connect_timeout: 50, shm_takeover_threshold: 200, **@settings) }
    end
    assert_operator Process.clock_gettime(Process::CLOCK_MONOTONIC) - started, :<, 40
    @cluster.hosts.each_index { |index| @cluster.thaw_node(index + 1) }
    wait_until("the abandoned connection has ended") { Dir.children(@directory).grep_v(/lock/).empty? || client.role == :owner }
  end

  def test_select_and_fileno
    reader = self.reader
    changes = reader.changes
    assert_same changes.to_io, changes.to_io
    assert_equal changes.to_io.fileno, changes.fileno
    changes.take
    # A loop that closes the IO gets another one.
    changes.to_io.close
    refute_predicate changes.to_io, :closed?
    sequence = reader.sequence
    @cluster.kill(3)
    assert IO.select([changes], nil, nil, 60)
    wait_until("the sequence is another one") { changes.take != sequence }
    # Further publications may follow.
    wait_until("both say the same") { reader.sequence == changes.sequence }
    reader.close
    assert IO.select([changes], nil, nil, 60)
    assert_raises(Tendmap::ClosedError) { changes.take }
    assert_equal [], changes.each.to_a
    2.times { changes.close }
    assert_predicate changes, :closed?
    assert_raises(Tendmap::ClosedError) { changes.take }
    assert_raises(Tendmap::ClosedError, IOError) { changes.fileno }
    # The program has closed the descriptor under it.
    changes = client.changes
    def (changes.to_io).close = raise Errno::EBADF
    assert_raises(Errno::EBADF) { changes.close }
    assert_predicate changes, :closed?
  end

  def test_h241_an_exception_of_the_block_is_not_the_end_of_the_changes
    other = reader
    other.close
    changes = client.changes
    failures = { Tendmap::ClosedError => -> { other.sequence }, StopIteration => -> { [].each.next },
                 IOError => -> { raise IOError } }
    failures.each do |error, fails|
      @cluster.add
      assert_raises(error) { changes.each { fails.call } }
    end
    # The next call goes on.
    @cluster.add
    assert_kind_of Integer, changes.each { |sequence| break sequence }
  end

  def test_nio4r
    begin
      require "nio"
    rescue LoadError
      skipped "nio4r is not installed"
    end
    changes = client.changes
    selector = NIO::Selector.new
    selector.register(changes.to_io, :r)
    changes.take
    sequence = client.sequence
    @cluster.kill(3)
    wait_until("the selector reports the change") { selector.select(60) && changes.take != sequence }
    selector.close
  end

  def test_handles_do_not_accumulate_descriptors
    client.wait_for_change(timeout: 0)
    GC.start
    before = Dir.children("/proc/self/fd").size
    50.times { client.wait_for_change(timeout: 0) }
    50.times { client.changes.to_io }
    GC.start
    wait_until("the handles are gone") { GC.start; Dir.children("/proc/self/fd").size <= before + 5 }
  end

  def test_h166_a_client_of_ruby_closes_without_a_descriptor
    code = <<~RUBY
      require "tendmap"
      hosts, directory, how = ARGV
      client = Tendmap::Client.new(hosts, shm_directory: directory, tend_interval: 0.05)
      client.route("test", "users", 1)
      files = []
      Process.setrlimit(:NOFILE, 64)
      begin
        loop { files << File.open("/dev/null") }
      rescue Errno::EMFILE
        print "full "
      end
      print client.close.inspect, client.closed? if how == "close"
    RUBY
    %w[close end].each do |how|
      written, status = ruby(code, @cluster.hosts.join(","), @directory, how)
      assert_equal ["full #{'niltrue' if how == 'close'}", true], [written, status.success?]
      # Another process would have to take over, or to remove the segment.
      assert_empty Dir.children(@directory)
    end
  end

  # The same with a scheduler of fibers: no thread is held.
  ASYNC = <<~RUBY
    require "async"
    require "tendmap"
    cluster = Tendmap::SimulatedCluster.new(3)
    Async do |task|
      client = Tendmap::Client.new(cluster.hosts, shm_directory: ARGV.fetch(0), tend_interval: 0.05)
      sequence = client.sequence
      ticks = 0
      ticker = task.async { loop { ticks += 1; sleep 0.001 } }
      waiter = task.async { client.wait_for_change(sequence, timeout: 60) }
      other = task.async { client.wait_for_change(timeout: 60) }
      sleep 0.01
      other.stop
      cluster.kill(3)
      now = waiter.wait
      ticker.stop
      changes = client.changes
      nil while changes.wait(timeout: 0.01)
      p now > sequence, ticks > 1, Thread.list.size
      client.close
    end
  RUBY

  def test_async
    written, status = ruby('require "async"; print Async::VERSION')
    skipped "the gem async is not installed here" unless status.success?
    written, status = ruby(ASYNC, @directory)
    assert_predicate status, :success?, written
    assert_equal ["true", "true", "1"], written.lines.map(&:chomp).grep_v(/warning:/), written
  end
end
