# frozen_string_literal: true

require_relative "lib/tendmap/version"

Gem::Specification.new do |spec|
  spec.name = "tendmap"
  spec.version = Tendmap::VERSION
  spec.summary = "One process tends a partitioned database cluster; all others route from shared memory"
  spec.description = <<~TEXT
    Routes keys of Aerospike clusters to nodes from a map in shared memory. One process of the
    host tends the cluster, all others (Puma's and Unicorn's workers) read the map: a route
    takes less than a microsecond.
  TEXT
  spec.authors = ["The tendmap developers"]
  spec.homepage = "https://docs.rs/tendmap"
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.required_ruby_version = ">= 3.1"
  spec.metadata = { "rubygems_mfa_required" => "true" }
  spec.files = Dir["lib/**/*.rb", "sig/**/*.rbs", "examples/*", "README.md", "CHANGELOG.md", "LICENSE-*", ".yardopts"]
  spec.require_paths = ["lib"]
  if ENV["TENDMAP_PREBUILT"]
    # For this platform and this minor version of Ruby, whose binary interface it uses.
    spec.platform = Gem::Platform.local
    spec.required_ruby_version = "~> #{RbConfig::CONFIG['ruby_version'].split('.').first(2).join('.')}.0"
    spec.files += ["lib/tendmap/tendmap_ruby.#{RbConfig::CONFIG['DLEXT']}"]
  else
    spec.extensions = ["ext/tendmap/extconf.rb"]
    spec.files += Dir["ext/**/*.rb", "rust/**/*"].select { |path| File.file?(path) }
  end
end
