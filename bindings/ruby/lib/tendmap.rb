# frozen_string_literal: true

require "json"
require "io/wait"
require_relative "tendmap/version"
require_relative "tendmap/errors"
require_relative "tendmap/extension"
require_relative "tendmap/bytes"
require_relative "tendmap/node"
require_relative "tendmap/batch"
require_relative "tendmap/event"
require_relative "tendmap/changes"
require_relative "tendmap/settings"
require_relative "tendmap/handle"
require_relative "tendmap/client"
require_relative "tendmap/reader"
require_relative "tendmap/simulated_cluster"

# Routes keys of a partitioned database cluster from a map in shared memory. One process
# of the host tends the cluster; all others read the map.
#
#   client = Tendmap::Client.new("127.0.0.1:3000")
#   client.route("test", "users", 42).address   # => "10.0.0.1:3000"
#
# See {Client} for a process that shares the tending, and {Reader} for one that only reads.
module Tendmap
  class << self
    # The state of a segment and its owner, read without attaching: no thread, no
    # connection, and this process never becomes owner. For monitoring.
    #
    # @param settings the settings that begin with +shm_+
    # @return [Hash{Symbol => Object}] as {Handle#status}
    # @raise [SegmentError] if there is no such segment
    def status(**settings)
      JSON.parse(_look(Settings.texts(settings)), symbolize_names: true)
    end

    # The RIPEMD-160 digest of a key in a set.
    #
    # @param set [String, nil] the set; nil for none
    # @param key [Integer, String, Float, Bytes] the key
    # @return [String] 20 bytes
    def digest(set, key)
      _digest(set, key)
    end
  end

  private_class_method :_look, :_digest
  private_constant :Pending, :Settings
end

# Handlers run in the reverse order of their registration: those of the program, which may
# use its clients, run before this one.
at_exit { Tendmap::Handle.close_all }
