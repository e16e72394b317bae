# A Rack application for prefork servers: each request routes a key.
#
#   TENDMAP_HOSTS=127.0.0.1:3100 puma -C puma.rb config.ru
#
# Loaded once, before the workers are forked. The client is lazy: the process that
# forks takes no part, each worker connects for itself, and one of them tends.

require_relative "tendmap"

settings = JSON.parse(ENV.fetch("TENDMAP_SETTINGS", "{}")).transform_keys(&:to_sym)
TENDMAP = Tendmap.new(ENV.fetch("TENDMAP_HOSTS"), lazy: true, **settings)

run lambda { |env|
  key = env["QUERY_STRING"][/\bkey=(-?\d+)/, 1].to_i
  node = TENDMAP.route("test", "users", key)
  answer = { pid: Process.pid, role: TENDMAP.role, node: node.name, address: node.address }
  [200, { "content-type" => "application/json" }, [JSON.generate(answer)]]
}
