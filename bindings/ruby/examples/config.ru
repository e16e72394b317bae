# frozen_string_literal: true

require "json"
require "tendmap"

# Lazy: the process that forks does not connect, and the first worker that connects tends.
# (The variables are the test's.)
TENDMAP = Tendmap::Client.new(ENV.fetch("TENDMAP_HOSTS", "127.0.0.1:3000"),
                              lazy: !ENV["TENDMAP_EARLY"],
                              shm_directory: ENV.fetch("TENDMAP_DIRECTORY", "/dev/shm"),
                              tend_interval: "100ms")

run lambda { |_env|
  node = TENDMAP.route("test", "users", 42)
  body = JSON.generate(pid: Process.pid, role: TENDMAP.role, node: node.address)
  [200, { "content-type" => "application/json" }, [body]]
}
