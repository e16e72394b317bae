# frozen_string_literal: true

module Tendmap
  # Something that an operator wants to know, for a log.
  #
  #   client.events.each do |event|
  #     logger.add(event.severity, event.to_s)
  #     case event
  #     in {type: :node_added, node:} then pools.open(node)
  #     in {type: :node_removed, node:} then pools.close(node)
  #     else # others
  #     end
  #   end
  class Event
    # @return [Symbol] its name, such as :node_added, :node_removed, :takeover, :published
    attr_reader :type
    # @return [Symbol] :debug, :info or :warning
    attr_reader :level
    # @return [Time] when it happened
    attr_reader :time
    # @return [Hash{Symbol => Object}] its values, as in a line of <tt>tendmap tend --json</tt>
    attr_reader :values

    # @private
    def self.parse(json)
      fields = JSON.parse(json, symbolize_names: true)
      new(type: fields.delete(:event).to_sym, level: fields.delete(:level).to_sym,
          time: Time.at(fields.delete(:time)), values: fields)
    end
    private_class_method :new

    def initialize(type:, level:, time:, values:)
      @type = type
      @level = level
      @time = time
      @values = values.freeze
      freeze
    end

    # @return [Object] the value of that name, nil if the event has none
    def [](name)
      @values[name.to_sym]
    end

    # @return [Integer] the level as a severity of Logger
    def severity
      { debug: 0, info: 1, warning: 2 }.fetch(@level)
    end

    # @return [Hash{Symbol => Object}]
    def to_h
      { type: @type, level: @level, time: @time, **@values }
    end

    def deconstruct_keys(_keys)
      to_h
    end

    def to_s
      values = @values.map { |name, value| "#{name}=#{value.inspect}" }
      [@type, *values].join(" ")
    end

    def inspect
      "#<Tendmap::Event #{self}>"
    end
  end
end
