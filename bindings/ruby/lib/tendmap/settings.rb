# frozen_string_literal: true

module Tendmap
  # Keyword arguments as texts for the library's table of settings.
  #
  # @private
  module Settings
    HOSTS = '"NAME:PORT", or an Array of them or of [NAME, PORT]'
    LONGEST = 365 * 86_400
    LISTS = %i[preferred_racks shm_owner c_client].freeze

    module_function

    # @return [Array<Array(String, String)>]
    def texts(settings)
      settings.reject { |_, value| nil.equal?(value) }.map { |name, value| [name.to_s, text(name, value)] }
    end

    # "a:1,b:2", or an Array of "a:1", ["a", 1] and ["a", 1, "tls-name"].
    def hosts(given)
      case given
      when String then word("hosts", given)
      when Array then given.map { |host| host(host, given) }.join(",")
      else refuse("hosts of type #{kind(given)}; wanted #{HOSTS}")
      end
    end

    def host(host, all)
      return part("hosts", host) if String === host

      unless Array === host && [2, 3].include?(host.size)
        hint = Integer === host && String === all.first ? "; of one server write [[NAME, PORT]]" : ""
        refuse("hosts has an item of type #{kind(host)}; wanted #{HOSTS}#{hint}")
      end
      name, port, tls_name = host
      refuse("a host's port of type #{kind(port)}; wanted a whole number from 1 to 65535") unless Integer === port
      name = part("a host's name", name)
      name = "[#{name}]" if name.include?(":")
      [name, *(part("a host's TLS name", tls_name) if tls_name), port].join(":")
    end

    def part(what, value)
      text = word(what, value)
      refuse("#{what} has #{text.inspect}; wanted one without a comma", ConfigError) if text.include?(",")
      text
    end

    # The value of a setting.
    def text(name, value)
      case value
      when String then return word(name.to_s, value)
      when Symbol
        return value.to_s unless Tendmap.send(:_takes_text?, name.to_s)
      when Integer, Float, Rational, true, false
        return number(name, value) unless Tendmap.send(:_takes_text?, name.to_s)
      when Array
        return value.map { |item| item(name, item) }.join(",") if LISTS.include?(name)
      when Hash
        return value.map { |told, used| mapped(told, used) }.join(",") if name == :ip_map
      else
        return word(name.to_s, value.to_path) if path?(value)
      end
      refuse("#{name} of type #{kind(value)}; wanted #{wanted(name)}")
    end

    def number(name, value)
      case value
      # Mode bits as a number, such as 0o600.
      when Integer then name.end_with?("_mode") && value >= 0 ? value.to_s(8) : value.to_s
      when Rational then value.to_f.to_s
      else value.to_s
      end
    end

    def item(name, item)
      case item
      when Integer then return item.to_s
      when String then return part(name.to_s, item) unless name == :preferred_racks || item.empty?
      end
      refuse("#{name} has an item of type #{kind(item)}; wanted #{wanted(name)}")
    end

    def mapped(told, used)
      [told, used].map do |host|
        text = word("a host of ip_map", host)
        refuse("ip_map has #{text.inspect}; wanted names without comma and =", ConfigError) if text.match?(/[,=]/)
        text
      end.join("=")
    end

    def wanted(name)
      case name
      when :preferred_racks then "an Array of whole numbers"
      when :shm_owner then "a user's name or number, or an Array of them"
      when :c_client then "KEY:VERSION as a String, or an Array of them"
      when :ip_map then "a Hash of Strings"
      else
        Tendmap.send(:_takes_text?, name.to_s) ? "a String" : "a String, a number, a Symbol, true or false"
      end
    end

    # A text as UTF-8. Its value is not repeated: it may be a password.
    def word(what, value)
      refuse("#{what} of type #{kind(value)}; wanted String") unless String === value
      text = value.encoding == Encoding::BINARY ? value.dup.force_encoding("UTF-8") : value.encode("UTF-8")
      refuse("#{what} is not UTF-8: it is not valid text in its encoding") unless text.valid_encoding?
      text
    rescue EncodingError
      refuse("#{what} is not UTF-8: it is not valid text in its encoding")
    end

    # Seconds, or nil.
    def timeout(value)
      return value if nil.equal?(value)

      wanted = "wanted seconds, or nil to wait for ever"
      refuse("timeout of type #{kind(value)}; #{wanted}") unless [Integer, Float, Rational].any? { |type| type === value }
      refuse("timeout is #{value}; #{wanted}") unless value >= 0
      # Ruby can't wait for more at once.
      return if value > LONGEST

      value
    end

    # Works also for objects without methods.
    def kind(value)
      Kernel.instance_method(:class).bind_call(value)
    end

    def path?(value)
      Kernel.instance_method(:respond_to?).bind_call(value, :to_path)
    end

    def refuse(text, error = ArgumentError)
      raise error, text
    end
  end
end
