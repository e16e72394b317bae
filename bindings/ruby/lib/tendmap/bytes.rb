# frozen_string_literal: true

module Tendmap
  # A key of raw bytes. It is not the same key as a text of these bytes.
  #
  # A String with the encoding BINARY is refused as a key, because it may be either: what is
  # read from sockets, or from Rack's environment, is text with that encoding.
  class Bytes
    # @param bytes [String] of any encoding
    def initialize(bytes)
      raise ArgumentError, "bytes of type #{Settings.kind(bytes)}; wanted String" unless String === bytes

      @bytes = bytes.b.freeze
      freeze
    end

    # @return [String] the bytes, frozen, with the encoding BINARY
    def to_s
      @bytes
    end

    def ==(other)
      other.is_a?(Bytes) && other.to_s == @bytes
    end
    alias eql? ==

    def hash
      @bytes.hash
    end

    def inspect
      "#<Tendmap::Bytes #{@bytes.unpack1('H*')}>"
    end
  end
end
