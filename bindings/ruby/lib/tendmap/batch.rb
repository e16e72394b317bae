# frozen_string_literal: true

module Tendmap
  # The nodes of many keys, all of one publication. It enumerates one node for each key, in
  # the order of the keys, nil where a partition has none.
  class Batch
    include Enumerable

    # @return [String] the indexes of the keys' nodes, 16 bits each in the machine's order
    #   (<tt>unpack("S*")</tt>), {NO_NODE} where a partition has none
    attr_reader :packed
    # @return [Array<Node, nil>] the nodes of the cluster, by index
    attr_reader :nodes
    # @return [Integer] the publication that they were read from
    attr_reader :sequence

    def initialize(packed, nodes, sequence)
      @packed = packed.freeze
      @nodes = nodes.freeze
      @sequence = sequence
    end

    # @return [Array<Integer>] the index of each key's node, {NO_NODE} for none
    def indexes
      @indexes ||= @packed.unpack("S*").freeze
    end

    # @return [Integer] the number of keys
    def size
      @packed.bytesize / 2
    end
    alias length size

    # @param position [Integer] the position of a key
    # @return [Node, nil] its node
    def [](position)
      index = indexes[position]
      index && @nodes[index]
    end

    def each
      return enum_for(:each) { size } unless block_given?

      indexes.each { |index| yield @nodes[index] }
      self
    end

    # The positions of the keys of each node, to send one command to each.
    #
    # @return [Hash{Node, nil => Array<Integer>}]
    def groups
      found = indexes.each_with_index.group_by(&:first)
      found.to_h { |index, pairs| [@nodes[index], pairs.map(&:last)] }
    end

    def inspect
      "#<Tendmap::Batch #{size} keys on #{indexes.uniq.size} nodes>"
    end
  end
end
