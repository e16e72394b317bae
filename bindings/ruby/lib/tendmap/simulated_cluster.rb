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

    def inspect
      "#<Tendmap::SimulatedCluster>"
    end
  end
end
