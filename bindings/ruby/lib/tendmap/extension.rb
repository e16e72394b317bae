# frozen_string_literal: true

# Loads the extension. If that fails, the error says what to do.
module Tendmap
  hint = "install the gem again, or run rake compile in a checkout of tendmap (bindings/ruby)"
  begin
    require_relative "tendmap_ruby"
  rescue LoadError => e
    found = if File.file?("#{__dir__}/tendmap_ruby.#{RbConfig::CONFIG['DLEXT']}")
              "the extension of tendmap can't be loaded: #{e.message}"
            else
              "there is no extension of tendmap for Ruby #{RUBY_VERSION} in #{__dir__}"
            end
    raise LoadError, "#{found}; #{hint}"
  end
  unless VERSION_OF_EXTENSION == VERSION
    raise LoadError, "the extension of tendmap is of version #{VERSION_OF_EXTENSION}; wanted #{VERSION}: #{hint}"
  end

  private_constant :VERSION_OF_EXTENSION
end
