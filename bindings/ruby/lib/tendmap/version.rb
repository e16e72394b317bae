# frozen_string_literal: true

module Tendmap
  # The version of the gem and of the library in it.
  VERSION = "0.1.0"
end
