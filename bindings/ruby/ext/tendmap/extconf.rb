# frozen_string_literal: true

# Builds the extension from its Rust sources, when RubyGems installs the source gem. The gem
# for a platform has the extension and does not run this.
require "mkmf"

MINIMUM = "1.89"

def give_up(text)
  abort "tendmap: #{text}"
end

cargo = find_executable(ENV.fetch("CARGO", "cargo")) ||
        give_up("cargo is not installed, and this gem has no prebuilt extension for " \
                "#{RUBY_PLATFORM}; install Rust #{MINIMUM} or later (https://rustup.rs), then install again")
found = `#{cargo} --version`[/\d+\.\d+(\.\d+)?/] || give_up("#{cargo} --version prints no version")
if Gem::Version.new(found) < Gem::Version.new(MINIMUM)
  give_up "cargo is #{found}; wanted #{MINIMUM} or later: run rustup update"
end

# The gem's own sources, or those of the repository.
rust = [File.expand_path("../../rust/bindings", __dir__), File.expand_path("../../..", __dir__)]
rust = rust.find { |folder| File.file?(File.join(folder, "Cargo.lock")) } || give_up("there are no Rust sources here")
target = ENV.fetch("CARGO_TARGET_DIR") { File.join(Dir.pwd, "target") }

File.write("Makefile", <<~MAKE)
  sitearchdir = #{RbConfig::CONFIG['sitearchdir']}
  DESTDIR =
  RUBY = #{RbConfig.ruby}
  LIBRARY = #{target}/release/libtendmap_ruby.#{RbConfig::CONFIG['SOEXT']}

  all:
  \tRUBY=$(RUBY) CARGO_TARGET_DIR=#{target} #{cargo} build --release --locked \
  --manifest-path #{rust}/Cargo.toml --package tendmap-ruby

  install: all
  \tmkdir -p $(DESTDIR)$(sitearchdir)/tendmap
  \tinstall -m 0755 $(LIBRARY) $(DESTDIR)$(sitearchdir)/tendmap/tendmap_ruby.#{RbConfig::CONFIG['DLEXT']}

  clean:
  \trm -rf #{File.join(Dir.pwd, 'target')}

  .PHONY: all install clean
MAKE
