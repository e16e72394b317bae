# A Rack application for prefork servers: each request routes a key.
#
#   TENDMAP_HOSTS=127.0.0.1:3100 puma -C puma.rb config.ru
#
# It is loaded once, before the workers are forked. The client is lazy: the process that
# forks does not connect, each worker connects for itself, and one of them tends.

require_relative "tendmap"

settings = JSON.parse(ENV.fetch("TENDMAP_SETTINGS", "{}")).transform_keys(&:to_sym)
TENDMAP = Tendmap.new(ENV.fetch("TENDMAP_HOSTS"), lazy: true, **settings)

run lambda { |env|
  key = env["QUERY_STRING"][/(?:\A|&)key=(-?\d+)(?=&|\z)/, 1]
  begin
    raise Tendmap::Error.new(Tendmap::ERROR_ARGUMENT, "wanted ?key=NUMBER") unless key

    node = TENDMAP.route("test", "users", key.to_i)
    status = 200
    answer = { pid: Process.pid, role: TENDMAP.role, node: node.name, address: node.address }
  rescue Tendmap::Error => e
    # An error of the caller, or of the cluster.
    status = e.code == Tendmap::ERROR_ARGUMENT ? 400 : 503
    answer = { error: e.message }
  end
  [status, { "content-type" => "application/json" }, [JSON.generate(answer)]]
}
