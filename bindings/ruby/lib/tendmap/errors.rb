# frozen_string_literal: true

module Tendmap
  # The base of all errors of tendmap. The texts are those of the Rust library, the same in
  # every language; they say what was found, what was wanted and what to do.
  class Error < StandardError
    # @return [Integer] the number of the error, a +tendmap_error+ of +tendmap.h+
    attr_reader :code

    def initialize(text = nil, code = nil)
      super(text)
      @code = code || BY_CODE.key(self.class) || 0
    end

    # The error of that number. (Used by the extension.)
    def self.of(code, text)
      BY_CODE.fetch(code, Error).new(text, code)
    end
    private_class_method :of
  end

  # An invalid argument: of a wrong type, out of its range, or not valid text.
  class ArgumentError < Error; end

  # The client, reader or handle is closed.
  class ClosedError < Error; end

  # The handle belongs to another thread. (Ruby's handles belong to all threads.)
  class WrongThreadError < Error; end

  # A defect in tendmap, caught before it could do harm.
  class InternalError < Error; end

  # The handle belongs to the process from which this one was forked.
  class ForkedError < Error; end

  # The call needs a client; a reader only reads.
  class ReadOnlyError < Error; end

  # No descriptor can be opened, or the program has closed it.
  class DescriptorError < Error; end

  # Connecting failed.
  class ConnectError < Error; end

  # A setting is unknown or out of its range.
  class ConfigError < ConnectError; end

  # The segment's files can't be created, attached or read.
  class SegmentError < ConnectError; end

  # The segment belongs to another cluster.
  class OtherClusterError < ConnectError; end

  # This process is already connected under the key, with other hosts.
  class OtherHostsError < ConnectError; end

  # The cluster can't be tended: no server gives a valid answer.
  class TendError < ConnectError; end

  # The owner did not publish a map in time.
  class NoMapYetError < ConnectError; end

  # A thread can't be started.
  class ThreadError < ConnectError; end

  # Routing failed.
  class RouteError < Error; end

  # No map has been published yet.
  class NoMapError < RouteError; end

  # The cluster has no nodes.
  class ClusterEmptyError < RouteError; end

  # The cluster has no namespace of that name.
  class NamespaceUnknownError < RouteError; end

  # No node of the partition may be used; try again after the next tend.
  class NoNodeError < RouteError; end

  # A partition number that is out of range.
  class OutOfRangeError < RouteError; end

  # The namespace handle belongs to another router. (Ruby has no such handles.)
  class ForeignHandleError < RouteError; end

  # The map in the segment is damaged.
  class MapError < RouteError; end

  class Error
    # The classes by the numbers of the errors.
    BY_CODE = {
      1 => ArgumentError, 2 => ClosedError, 3 => WrongThreadError, 4 => InternalError,
      5 => ForkedError, 6 => ReadOnlyError, 10 => ConfigError, 11 => ConnectError,
      12 => SegmentError, 13 => OtherClusterError, 14 => OtherHostsError, 15 => TendError,
      16 => NoMapYetError, 17 => ThreadError, 18 => DescriptorError, 20 => RouteError,
      21 => NoMapError, 22 => ClusterEmptyError, 23 => NamespaceUnknownError,
      24 => NoNodeError, 25 => OutOfRangeError, 26 => ForeignHandleError, 27 => MapError
    }.freeze
    private_constant :BY_CODE
  end
end
