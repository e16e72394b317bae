# frozen_string_literal: true

module Tendmap
  # A node of the cluster. It is frozen, and shareable among Ractors.
  #
  # A client has one object for each node while the node and its address are the same, so a
  # Hash or ObjectSpace::WeakMap of nodes can hold data for a node, such as a connection
  # pool.
  #
  #   case client.route("test", "users", 42)
  #   in {host:, port:}
  #     Socket.tcp(host, port)
  #   end
  class Node
    # @return [Integer] the node's index in {Batch#indexes}
    attr_reader :index
    # @return [Integer] how many times a node got this index
    attr_reader :incarnation
    # @return [String] the node id
    attr_reader :name
    # @return [String] its IP address
    attr_reader :host
    # @return [Integer] its port
    attr_reader :port
    # @return [String] IP address and port: "10.0.0.1:3000", "[::1]:3000"
    attr_reader :address
    # @return [String, nil] the name on its TLS certificate
    attr_reader :tls_name

    class << self
      private :new

      private

      def _of(*fields)
        Ractor.make_shareable(new(*fields))
      end
    end

    def initialize(index, incarnation, name, host, port, address, tls_name)
      @index = index
      @incarnation = incarnation
      @name = name
      @host = host
      @port = port
      @address = address
      @tls_name = tls_name
    end

    # @return [Hash{Symbol => Object}]
    def to_h
      { index: @index, incarnation: @incarnation, name: @name, host: @host, port: @port,
        address: @address, tls_name: @tls_name }
    end

    def deconstruct_keys(_keys)
      to_h
    end

    def to_s
      @address
    end

    def inspect
      "#<Tendmap::Node #{@name} at #{@address}>"
    end
  end

  # The route of a key, as {Handle#locate} returns it.
  class Route
    # @return [Node] the node
    attr_reader :node
    # @return [String] the namespace's name
    attr_reader :namespace
    # @return [Integer] the partition
    attr_reader :partition
    # @return [Integer] the replica's number; 0 = the master
    attr_reader :replica
    # @return [Integer] the publication that it was read from
    attr_reader :sequence
    # @return [Symbol] the policy that was asked for
    attr_reader :policy

    def initialize(node:, namespace:, partition:, replica:, sequence:, policy:)
      check(:node, node, Node)
      check(:namespace, namespace, String)
      check(:partition, partition, NUMBERS)
      check(:replica, replica, NUMBERS)
      check(:sequence, sequence, Integer)
      check(:policy, policy, NAMES)
      @node = node
      @namespace = namespace.frozen? ? namespace : namespace.dup.freeze
      @partition = partition
      @replica = replica
      @sequence = sequence
      @policy = policy.to_sym
      freeze
    end

    # @return [Hash{Symbol => Object}]
    def to_h
      { node: @node, namespace: @namespace, partition: @partition, replica: @replica,
        sequence: @sequence, policy: @policy }
    end

    def deconstruct_keys(_keys)
      to_h
    end

    def inspect
      "#<Tendmap::Route partition #{@partition}, replica #{@replica}: #{@node.name} at #{@node.address}>"
    end

    NUMBERS = ->(value) { Integer === value && value.between?(0, 0xFFFF) }
    NAMES = ->(value) { Symbol === value || String === value }
    private_constant :NUMBERS, :NAMES

    private

    def check(field, value, wanted)
      return if wanted === value

      found = Numeric === value ? value : "of type #{Settings.kind(value)}"
      raise ArgumentError, "the #{field} of a route is #{found}; wanted that of a route of locate"
    end
  end
end
