# frozen_string_literal: true

module Tendmap
  # What a {Client} and a {Reader} have in common.
  #
  # Any thread or fiber may use it. It may be created before +fork+ and used after it: the
  # first call in a child starts the child's own part, without touching its parent's. Ractors
  # other than the main one get Ractor::UnsafeError; their {Node}s they may use.
  class Handle
    class << self
      # Closes every client and reader of this process. It runs at the end of the process.
      #
      # @private
      def close_all
        @ending = true
        pending = _close_all
        IO.open(pending.descriptor, "r") { |io| io.wait_readable } if pending
        nil
      end

      # Yields a new object and closes it afterwards; without a block it is {.new}.
      def open(*hosts, **settings)
        handle = new(*hosts, **settings)
        return handle unless block_given?

        begin
          yield handle
        ensure
          handle.close
        end
      end

      private :_close_all
    end

    # Connects now: after <tt>lazy: true</tt>, or in a forked child. Connecting again does
    # nothing. Other threads and fibers run meanwhile; +Timeout+ and Thread#kill end the wait,
    # and leave nothing behind.
    #
    # @return [self]
    # @raise [ConnectError]
    def connect
      return self if _settled? && !closed?

      raise ArgumentError, "it was not initialized; call super" unless @lock

      @lock.synchronize { await(_connect) unless _settled? && !closed? }
      self
    end

    # Closes. The last client of the process under its key hands the ownership over, and the
    # last process removes the segment. Other calls raise {ClosedError} from then on; closing
    # again does nothing.
    def close
      pending = _close
      await(pending) if pending
      nil
    end

    # The node to ask for a key, with partition and replica, and for use with {#retry}.
    #
    # @return [Route]
    # @raise [RouteError]
    def locate(namespace, set, key, policy: :sequence)
      found = _locate(namespace, set, key, policy)
      made(*found, namespace, policy)
    end

    # The next attempt after the node of a route has failed a command, starting at the next
    # replica. (:master returns the master again; :prefer_rack returns the failed node only
    # if there is no other.)
    #
    # @param failed [Route] what {#locate} or this method has returned
    # @return [Route]
    def retry(failed)
      unless Route === failed
        raise ArgumentError, "route of type #{Settings.kind(failed)}; wanted the Tendmap::Route of locate"
      end

      found = _retry(failed.namespace, failed.partition, failed.replica, failed.node.index, failed.policy)
      made(*found, failed.namespace, failed.policy)
    end

    # The nodes of many keys, all of one publication.
    #
    # @param keys [Array, Enumerable] keys as of {#route}
    # @return [Batch]
    # @raise [RouteError]
    def route_batch(namespace, set, keys, policy: :sequence)
      keys = keys.to_a if !(Array === keys) && Enumerable === keys
      raise ArgumentError, "keys of type #{Settings.kind(keys)}; wanted an Array" unless Array === keys

      Batch.new(*_route_batch(namespace, set, keys, policy))
    end

    # @return [Array<Node>] the cluster's nodes, in the order of their indexes
    def nodes
      _nodes
    end

    # @return [Array<String>] the names of the cluster's namespaces
    def namespaces
      _namespaces
    end

    # @return [Hash{Symbol => Object}] the state of the segment and its owner, as
    #   <tt>tendmap status --json</tt> shows it
    def status
      JSON.parse(_status, symbolize_names: true)
    end

    # @return [Integer] the live publication; 0 = none yet
    def sequence
      _sequence
    end

    # News of changes as a descriptor; each call makes a handle of its own.
    #
    # @return [Changes]
    def changes
      _changes
    end

    # Waits until a publication other than +sequence+ is live. Other threads and fibers run
    # meanwhile; +Timeout+, Thread#kill and signals end the wait.
    #
    # @param sequence [Integer] what was seen last; the live one if not given
    # @param timeout [Numeric, nil] seconds; nil = without limit
    # @return [Integer] the live sequence, at the timeout the same as before
    # @raise [ClosedError] when it is closed
    def wait_for_change(sequence = self.sequence, timeout: nil)
      unless Integer === sequence
        raise ArgumentError, "sequence of type #{Settings.kind(sequence)}; wanted Integer"
      end
      raise ArgumentError, "sequence is #{sequence}; wanted an Integer from 0 on" if sequence.negative?

      timeout = Settings.timeout(timeout)
      ends = timeout && (Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout)
      changes = self.changes
      begin
        loop do
          found = changes.take
          return found if found != sequence

          left = ends && (ends - Process.clock_gettime(Process::CLOCK_MONOTONIC))
          return found if left && left <= 0

          changes.to_io.wait_readable(left)
        end
      rescue ClosedError
        # At the end of the process a thread that waits ends silently.
        Thread.current.report_on_exception = false if Handle.instance_variable_get(:@ending)
        # The same error as of any other call.
        _sequence
        raise
      ensure
        changes.close
      end
    end

    # Asks the owner, whichever process that is, to tend soon: for programs that see
    # connections to a node fail. Does not wait.
    def request_tend
      _request_tend
      nil
    end

    # Changes the racks that :prefer_rack prefers, the best first; an empty Array means none.
    def preferred_racks=(racks)
      _set("preferred_racks", Settings.text(:preferred_racks, racks))
    end

    def initialize_copy(_)
      raise TypeError, "can't copy a #{self.class}; make a new one"
    end

    def marshal_dump
      raise TypeError, "can't dump a #{self.class}; make a new one in the other process"
    end

    # @!method route(namespace, set, key, policy: :sequence)
    #   The node to ask for a key.
    #
    #   @param namespace [String]
    #   @param set [String, nil] nil for none
    #   @param key [Integer, String, Float, Bytes] an Integer of 64 bits, a String of text, a
    #     Float, or bytes; each is another key: 42, "42" and 42.0 are three
    #   @param policy [Symbol] :master = only the master; :sequence = replicas in their order,
    #     from the master; :any = starting one replica further with each call; :random =
    #     starting at a random replica; :prefer_rack = a node in the first of the
    #     +preferred_racks+ that has one, then in the second, and so on, then any
    #   @return [Node] the same object for the same node
    #   @raise [RouteError] {NoNodeError} if no node of the partition may be used

    # @!method closed?
    #   @return [Boolean] whether it was closed

    private

    def made(node, partition, replica, sequence, namespace, policy)
      Route.new(node: node, namespace: namespace, partition: partition, replica: replica,
                sequence: sequence, policy: policy || :sequence)
    end

    def setup(hosts, settings)
      _configure(hosts, Settings.texts(settings), [])
      @lock = Mutex.new
    end

    # Waits for work in another thread.
    def await(pending)
      io = IO.for_fd(pending.descriptor, "r", autoclose: true)
      begin
        io.wait_readable
        pending.take(self)
      ensure
        # After an interrupt, nobody takes what is made.
        pending.abandon
        io.close
      end
    end

    private(*private_instance_methods(false), *instance_methods(false).grep(/\A_/))
  end
end
