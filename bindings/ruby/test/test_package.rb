# frozen_string_literal: true

require_relative "helper"
require "rubygems/package"
require "open3"

class TestPackage < Minitest::Test
  include Fixtures

  EXTCONF = File.expand_path("../ext/tendmap/extconf.rb", __dir__)
  GEMS = File.expand_path("../../../target/gems", __dir__)

  def test_both_gems_have_what_they_need
    gems = Dir["#{GEMS}/tendmap-#{Tendmap::VERSION}*.gem"].to_h { |path| [Gem::Package.new(path).spec.platform, path] }
    skipped "the gems are not built: rake gems" if gems.empty?
    assert_equal 2, gems.size
    gems.each do |platform, path|
      package = Gem::Package.new(path)
      assert_equal %w[MIT Apache-2.0], package.spec.licenses
      files = package.contents
      %w[README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE sig/tendmap.rbs lib/tendmap.rb examples/simulated.rb].each do |file|
        assert_includes files, file
      end
      source = platform == "ruby"
      assert_equal source, files.include?("rust/src/lib.rs")
      assert_equal source, files.include?("rust/bindings/Cargo.lock")
      assert_equal !source, files.any? { |file| file.end_with?("tendmap_ruby.so") }
      assert_equal source ? ["ext/tendmap/extconf.rb"] : [], package.spec.extensions
    end
  end

  def test_the_installed_gem_is_used
    skipped "TENDMAP_INSTALLED is not set" unless ENV["TENDMAP_INSTALLED"]
    assert_includes $LOADED_FEATURES.grep(/tendmap_ruby/).first, ENV.fetch("GEM_HOME").then { |home| File.realpath(home) }
  end

  def test_a_missing_or_old_cargo_is_named
    fake = "#{@directory}/cargo"
    File.write(fake, "#!/bin/sh\necho cargo 1.60.0\n", perm: 0o755)
    {
      "#{@directory}/nowhere" => /cargo is not installed, .*; install Rust 1\.89 or later \(https:/,
      fake => /cargo is 1\.60\.0; wanted 1\.89 or later: run rustup update/
    }.each do |cargo, text|
      Dir.mktmpdir do |empty|
        written, status = Open3.capture2e({ "CARGO" => cargo }, RbConfig.ruby, EXTCONF, chdir: empty)
        refute_predicate status, :success?
        assert_match text, written
      end
    end
  end

  def test_h199_a_missing_or_other_extension_is_named
    lib = File.dirname($LOADED_FEATURES.grep(%r{/tendmap/version\.rb\z}).first, 2)
    copy = "#{@directory}/lib"
    FileUtils.cp_r(lib, copy)
    extension = Dir["#{copy}/tendmap/tendmap_ruby.*"].first
    load_it = lambda do
      code = "begin; require 'tendmap'; rescue LoadError => e; puts e.message; end"
      Open3.capture2e(RbConfig.ruby, "-I", copy, "-e", code).first
    end
    assert_equal "", load_it.call
    version = "#{copy}/tendmap/version.rb"
    File.write(version, File.read(version).sub(Tendmap::VERSION, "9.9.9"))
    found = load_it.call
    assert_match(/extension of tendmap is of version #{Tendmap::VERSION}; wanted 9\.9\.9/, found)
    assert_match(/install the gem again, or run rake compile in a checkout/, found)
    FileUtils.rm_f(extension)
    File.write(extension, "no library")
    assert_match(/extension of tendmap can't be loaded: .*install the gem again, or run rake compile/m, load_it.call)
    FileUtils.rm_f(extension)
    found = load_it.call
    assert_match(/no extension of tendmap for Ruby #{RUBY_VERSION} .*install the gem again, or run rake compile/m, found)
  end

  def test_the_versions_agree
    manifest = File.read(File.expand_path("../../../Cargo.toml", __dir__))
    assert_equal manifest[/^version = "(.*)"/, 1], Tendmap::VERSION
  end

  # The first example of the README, and the one with a simulated cluster.
  def test_the_readme_is_true
    text = File.read(File.expand_path("../README.md", __dir__))
    first, simulated = text.scan(/^```ruby\n(.*?)^```/m).flatten
    first = first.sub('"127.0.0.1:3000"', "ARGV.shift.split(\",\"), shm_directory: ARGV.shift")
    written, status = ruby(first, @cluster.hosts.join(","), @directory)
    assert_predicate status, :success?, written
    assert_match(/\A127\.0\.0\.1 \d+\n\z/, written.lines.grep_v(/warning/).join)
    written, status = ruby("require 'tendmap'\n#{simulated.sub('0x1234', "0x1234, shm_directory: #{@directory.dump}")}")
    assert_predicate status, :success?, written
    assert_match(/#<Tendmap::Node/, written)
  end
end
