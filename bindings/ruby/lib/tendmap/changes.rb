# frozen_string_literal: true

module Tendmap
  # News of changes, for IO.select, nio4r, Async and every loop that waits for descriptors.
  #
  # The descriptor becomes readable when the map changes, and when the client is closed.
  # {#take} makes it unreadable again. No change is lost: one that happens after {#take}
  # began is in its result, or makes the descriptor readable again. Never read from it.
  #
  #   changes = client.changes
  #   loop do
  #     IO.select([changes])
  #     puts "the map has changed: #{changes.take}"
  #   end
  class Changes
    # Frees the handle. Closing again does nothing.
    def close
      @io&.close
      nil
    ensure
      _close
    end

    # @return [IO] for loops; it is one object until it is closed, as {#close} does
    def to_io
      return @io if @io && !@io.closed? && !closed?

      @io = IO.for_fd(_descriptor, "r", autoclose: true)
    end

    # @return [Integer] the number of the descriptor
    def fileno
      to_io.fileno
    end

    # Waits until there is news, and takes it. Other threads and fibers run meanwhile.
    #
    # @param timeout [Numeric, nil] seconds; nil = without limit
    # @return [Integer, nil] the live sequence; nil at the timeout
    def wait(timeout: nil)
      timeout = Settings.timeout(timeout)
      # After the last news, that it is closed, the descriptor is not readable again.
      return take if @ended

      to_io.wait_readable(timeout) && take
    end

    # Makes the descriptor unreadable until the next change. Does not wait.
    #
    # @return [Integer] the live sequence, which may be the one that was seen last
    # @raise [ClosedError] if the client or this handle is closed
    # @raise [ForkedError] in a forked child, which makes another handle
    def take
      _take
    rescue ClosedError
      @ended = true
      raise
    end

    # Yields the live sequence at each change, until the client is closed.
    def each
      return enum_for(:each) unless block_given?

      while (sequence = following)
        yield sequence
      end
      self
    end

    def initialize_copy(_)
      raise TypeError, "can't copy a Tendmap::Changes; call changes again"
    end

    def marshal_dump
      raise TypeError, "can't dump a #{self.class}; call changes in the other process"
    end

    def inspect
      "#<Tendmap::Changes#{', closed' if closed?}>"
    end

    # @!method sequence
    #   @return [Integer] the live sequence; the descriptor is not changed

    # @!method closed?
    #   @return [Boolean] whether this handle was closed

    private :_close, :_descriptor, :_take

    private

    # The next news; nil when it is closed. An exception of a block is the program's own.
    def following
      wait
    rescue ClosedError
      nil
    end
  end
end
