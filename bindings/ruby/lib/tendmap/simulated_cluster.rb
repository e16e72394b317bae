# frozen_string_literal: true

module Tendmap
  # A cluster for tests, in a thread of this process, that speaks the real protocol on the
  # loopback. Nodes are numbered from 1 on.
  #
  #   cluster = Tendmap::SimulatedCluster.new(3, namespaces: { "test" => 2 })
  #   client = Tendmap::Client.new(cluster.hosts, tend_interval: 0.05)
  class SimulatedCluster
    # @param nodes [Integer] the number of nodes
    # @param namespaces [Hash{String => Integer}] replication factors by name
    # @param enterprise [Boolean] answer as the Enterprise Edition does, with racks
    def self.new(nodes = 3, namespaces: { "test" => 2 }, cluster_name: "sim", enterprise: false)
      _start(nodes, namespaces.to_a, cluster_name, enterprise)
    end
    private_class_method :_start

    # Yields a cluster, and stops it afterwards.
    def self.open(*nodes, **settings)
      cluster = new(*nodes, **settings)
      return cluster unless block_given?

      begin
        yield cluster
      ensure
        cluster.close
      end
    end

    # Waits until the cluster is quiet.
    #
    # @return [Boolean] false if it is not quiet in time
    def settle(timeout = 30)
      ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout
      until quiet?
        return false if Process.clock_gettime(Process::CLOCK_MONOTONIC) > ends

        sleep 0.01
      end
      true
    end

    # @!method hosts
    #   @return [Array<String>] the addresses of all nodes, by number

    # @!method kill(number)
    #   Kills a node: its sockets close at once.

    # @!method stop(number)
    #   Stops a node cleanly.

    # @!method start(number)
    #   Starts a stopped node at its port.

    # @!method freeze_node(number)
    #   Stops a node as SIGSTOP would.

    # @!method thaw_node(number)
    #   Resumes a frozen node.

    # @!method add
    #   Adds a node.
    #   @return [Integer] its number

    # @!method set_rack(number, namespace, rack)
    #   Puts a node of an +enterprise+ cluster into a rack for a namespace.

    # @!method quiet?
    #   @return [Boolean] whether no partition moves

    # @!method owners(namespace)
    #   @return [Array<Array<String>>] for each partition the names of the nodes that hold it

    # @!method close
    #   Stops all nodes; closing again does nothing.

    def inspect
      "#<Tendmap::SimulatedCluster>"
    end
  end
end
