# frozen_string_literal: true

# Routes keys of a simulated cluster, and sees a node leave:
#
#   ruby -r tendmap examples/simulated.rb
require "tendmap"
require "tmpdir"

Dir.mktmpdir("tendmap-", "/dev/shm") do |directory|
  Tendmap::SimulatedCluster.open(3) do |cluster|
    Tendmap::Client.open(cluster.hosts, shm_directory: directory, tend_interval: 0.1) do |client|
      node = client.route("test", "users", 42)
      puts "42 is on #{node.name} at #{node.address}"

      batch = client.route_batch("test", "users", 0...1000)
      batch.groups.each { |of_node, positions| puts "#{of_node.address} has #{positions.size} of 1000 keys" }

      changes = client.changes
      cluster.kill(3)
      IO.select([changes])
      puts "the map has changed: publication #{changes.take}"
    end
  end
end
