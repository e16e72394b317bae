# frozen_string_literal: true

module Tendmap
  # A process's connection to a cluster's map. One process of the host tends the cluster,
  # the others follow; if it ends, another one takes over.
  #
  # Create one for each cluster and process. All threads and fibers use it.
  #
  #   client = Tendmap::Client.new("127.0.0.1:3000", shm_key: 0xA7000000)
  #   client.route("test", "users", 42)   # => #<Tendmap::Node A1 at 10.0.0.1:3000>
  class Client < Handle
    # Connects: attaches to the segment of +shm_key+, or creates it and tends.
    #
    # @param hosts [String, Array] "NAME:PORT", several separated by commas, or an Array of
    #   them or of [NAME, PORT] or [NAME, PORT, TLS_NAME]
    # @param lazy [Boolean] connect at the first use instead of now, for a client that is
    #   created before workers are forked and that only they use
    # @param settings the settings of the library (docs/SETTINGS.md), by their names.
    #   Durations are numbers of seconds or text ("500ms"), modes are mode bits (0o600) or
    #   text in octal, +use_shm+ is true if not given
    # @raise [ConfigError] for an invalid value, also with +lazy+
    # @raise [ConnectError] then nothing is left behind
    def initialize(hosts, lazy: false, **settings)
      unless true.equal?(lazy) || false.equal?(lazy)
        raise ArgumentError, "lazy of type #{Settings.kind(lazy)}; wanted true or false"
      end

      super()
      @hosts = Settings.hosts(hosts).freeze
      setup(@hosts, settings)
      connect unless lazy
    end

    # @return [Symbol] this process's role: :owner, :standby, :follower or :closed
    def role
      _role.to_sym
    end

    # The events since the last call, the oldest first: nodes that joined, left or fail,
    # takeovers, passes that fail or succeed again. It never waits; call it from time to
    # time. The last 256 are kept; if there were more, the first is :events_lost with their
    # +count+. A forked child has its own.
    #
    # @return [Array<Event>]
    def events
      _events.map { |json| Event.parse(json) }
    end

    # Yields each of {#events}.
    def each_event(&block)
      return enum_for(:each_event) unless block

      events.each(&block)
      self
    end

    # Changes how often this process polls the cluster as owner.
    #
    # @param interval [Numeric, String] seconds or text
    # @raise [ConfigError] below 50 ms, or if others would consider such an owner hung
    def tend_interval=(interval)
      _set("tend_interval", Settings.text(:tend_interval, interval))
    end

    # Changes the password of the user that this process logs in as, from the next login.
    #
    # @raise [ConfigError] if the client has no +user+
    def password=(password)
      _set("password", Settings.text(:password, password))
    end

    def inspect
      "#<Tendmap::Client #{@hosts}#{', closed' if closed?}>"
    end
  end
end
