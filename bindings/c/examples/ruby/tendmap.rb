# frozen_string_literal: true

require "fiddle"
require "fiddle/import"
require "json"

# Routing for Ruby through the C library and Fiddle, which comes with Ruby.
#
#   tendmap = Tendmap.new("127.0.0.1:3000", shm_key: 0xA7000000)
#   tendmap.route("test", "users", 42).address   # "10.0.0.1:3000"
#
# Create one object for each process; all threads may use it. It survives fork: a child
# calls `connect` (or `route`, which connects too) and then has its own part. Pass
# `lazy: true` if the process that forks should not connect.
class Tendmap
  # An error; `code` is a tendmap_error of tendmap.h.
  class Error < StandardError
    attr_reader :code

    def initialize(code, text)
      super(text)
      @code = code
    end
  end

  # The route of a key.
  Node = Struct.new(:name, :address, :host, :port, :partition)

  # The part of tendmap.h that this class needs.
  module C
    extend Fiddle::Importer
    library = ENV.fetch("TENDMAP_LIBRARY", "libtendmap.so.0")
    begin
      dlload library
    rescue Fiddle::DLError => e
      raise LoadError, "#{library} can't be used: #{e.message}; install it (bindings/c/install.sh, " \
                       "then ldconfig), or name it by TENDMAP_LIBRARY"
    end

    Route = struct ["uint64_t sequence", "void *state", "uint32_t partition_number",
                    "uint32_t incarnation", "uint16_t node", "uint16_t replica"]
    NodeOf = struct ["uint16_t index", "uint16_t port", "uint32_t incarnation",
                     "char name[32]", "char host[64]", "char address[64]", "char tls_name[256]",
                     "char build[32]"]

    extern "void *tendmap_config_new(void *hosts)"
    extern "int tendmap_config_set(void *config, void *name, void *value)"
    extern "void tendmap_config_free(void *config)"
    extern "void *tendmap_connect(void *config)"
    extern "int tendmap_close(void *client)"
    extern "int tendmap_client_role(void *client)"
    extern "void *tendmap_client_status_json(void *client)"
    extern "void tendmap_string_free(void *text)"
    extern "void *tendmap_router_new(void *client, void *free_state)"
    extern "int tendmap_router_free(void *router)"
    extern "int tendmap_router_namespace(void *router, void *name, void *out)"
    extern "int tendmap_router_node(void *router, uint16_t node, void *out)"
    extern "int tendmap_route_integer(void *router, uint64_t name_space, void *set, int64_t key, " \
           "uint32_t policy, void *out)"
    extern "int tendmap_route_string(void *router, uint64_t name_space, void *set, void *key, " \
           "size_t length, uint32_t policy, void *out)"
    extern "int tendmap_last_error_code()"
    extern "void *tendmap_last_error()"
  end

  ROLES = %w[owner standby follower closed].freeze
  SEQUENCE = 1
  ERROR_ARGUMENT = 1
  ERROR_CLOSED = 2
  # Settings whose value may be any text.
  TEXTS = %i[cluster_name user password tls_cafile tls_certfile tls_keyfile shm_directory].freeze
  INTEGERS = (-2**63..2**63 - 1).freeze

  # A router belongs to the thread that created it.
  ThreadState = Struct.new(:router, :namespaces, :route, :node, :number)

  def initialize(hosts, lazy: false, **settings)
    refuse("lazy of class #{kind(lazy)}; wanted true or false") unless true.equal?(lazy) || false.equal?(lazy)
    @hosts = text("hosts", hosts)
    @config = made(C.tendmap_config_new(@hosts))
    settings.each do |name, value|
      check(C.tendmap_config_set(@config, text("the name of a setting", name.to_s), value_of(name, value)))
    end
    @lock = Mutex.new
    @client = nil
    @closed = false
    connect unless lazy
  end

  # Two objects would close one client.
  def initialize_copy(_)
    raise TypeError, "can't copy a Tendmap; make a new one"
  end

  def inspect
    "#<Tendmap #{@hosts}#{@closed ? ', closed' : ''}>"
  end

  # Connects, or in a forked child starts the child's own part. Connecting again does
  # nothing.
  def connect
    role
    self
  end

  def role
    number = C.tendmap_client_role(client)
    number.negative? ? raise(error) : ROLES[number]
  end

  # The output of `tendmap status --json`.
  def status
    json = made(C.tendmap_client_status_json(client))
    JSON.parse(json.to_s.force_encoding("UTF-8"))
  ensure
    C.tendmap_string_free(json) if json
  end

  # The node of a key: an Integer of 64 bits or a String of UTF-8. The set "" means no set.
  def route(namespace, set, key)
    state = self.state
    number = (state.namespaces[namespace] if String === namespace) || resolve(state, namespace)
    set = text("a set", set)
    case key
    when Integer
      refuse("key #{key}; wanted an integer of 64 bits") unless INTEGERS.cover?(key)
      check(C.tendmap_route_integer(state.router, number, set, key, SEQUENCE, state.route))
    when String
      key = key.encode("UTF-8")
      check(C.tendmap_route_string(state.router, number, set, key, key.bytesize, SEQUENCE, state.route))
    else
      refuse("a key of class #{kind(key)}; wanted an Integer or a String")
    end
    check(C.tendmap_router_node(state.router, state.route.node, state.node))
    node = state.node
    Node.new(cut(node.name), cut(node.address), cut(node.host), node.port, state.route.partition_number)
  rescue EncodingError => e
    refuse("a text key is not UTF-8: #{e.message}")
  end

  # Frees this thread's router. A thread that ends before its process must call it; no
  # other thread can.
  def release
    state = Thread.current.thread_variable_get(place)
    return unless state

    Thread.current.thread_variable_set(place, nil)
    check(C.tendmap_router_free(state.router))
  end

  # Hands the ownership over, if this process has it. Closing again does nothing; other
  # calls raise an error from then on.
  def close
    release
    @lock.synchronize do
      former = @client
      @client = nil
      @closed = true
      check(C.tendmap_close(former)) if former
    end
  end

  private

  def client
    @client || @lock.synchronize do
      raise Error.new(ERROR_CLOSED, "the tendmap_client is closed") if @closed

      @client ||= made(C.tendmap_connect(@config))
    end
  end

  def place
    @place ||= :"tendmap_#{object_id}"
  end

  def state
    state = Thread.current.thread_variable_get(place)
    return state if state && state.number == Process.pid && !@closed

    # A forked child continues with the inherited router. A call with the client starts
    # the child's own part.
    role
    if state
      state.number = Process.pid
    else
      router = made(C.tendmap_router_new(client, nil))
      # The struct is freed together with the object.
      state = ThreadState.new(router, {}, C::Route.malloc(Fiddle::RUBY_FREE),
                      C::NodeOf.malloc(Fiddle::RUBY_FREE), Process.pid)
      Thread.current.thread_variable_set(place, state)
    end
    state
  end

  def resolve(state, namespace)
    out = "\0" * 8
    check(C.tendmap_router_namespace(state.router, text("a namespace", namespace), out))
    state.namespaces[namespace.dup.freeze] = out.unpack1("Q")
  end

  # A text for C, which ends at a zero byte: an inner one would silently truncate it.
  def text(what, value)
    refuse("#{what} of class #{kind(value)}; wanted a String") unless String === value
    value = value.encode("UTF-8")
    shown = what == "password" ? "" : value.inspect
    refuse("#{what} with a zero byte, #{shown}; only keys may have one") if value.include?("\0")
    value
  rescue EncodingError
    refuse("#{what} is not UTF-8")
  end

  # The value of a setting as text.
  def value_of(name, value)
    case value
    when Integer, Float, Symbol, true, false
      value = value.to_s unless TEXTS.include?(name)
    end
    text(name.to_s, value)
  end

  def cut(chars)
    chars.pack("c*").unpack1("Z*").force_encoding("UTF-8")
  end

  # Works also for objects without methods.
  def kind(value)
    Kernel.instance_method(:class).bind_call(value)
  end

  def refuse(text)
    raise Error.new(ERROR_ARGUMENT, text)
  end

  def check(code)
    raise error unless code.zero?
  end

  def made(pointer)
    pointer.null? ? raise(error) : pointer
  end

  def error
    Error.new(C.tendmap_last_error_code, C.tendmap_last_error.to_s.force_encoding("UTF-8"))
  end
end
