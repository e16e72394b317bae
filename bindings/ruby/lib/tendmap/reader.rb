# frozen_string_literal: true

module Tendmap
  # Reads the map that other processes of the host tend: no thread, no network and no
  # permission to write. It has everything of a {Client} that reads.
  #
  #   reader = Tendmap::Reader.new(shm_key: 0xA7000000)
  class Reader < Handle
    # Attaches to the newest segment under the key, whether it has an owner or not.
    #
    # @param settings the settings that begin with +shm_+, +cluster_name+ and
    #   +preferred_racks+; others are not used
    # @raise [SegmentError] if there is no segment
    # @raise [OtherClusterError] if the map is not of +cluster_name+
    def initialize(**settings)
      super()
      setup(nil, settings)
      connect
    end

    def inspect
      "#<Tendmap::Reader#{', closed' if closed?}>"
    end
  end
end
