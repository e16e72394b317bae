# frozen_string_literal: true

# puma --config puma.rb config.ru
#
# A phased restart (SIGUSR1) is for servers that do not preload; then the first request of a
# worker connects. (The variables are the test's.)
preload_app! unless ENV["TENDMAP_PHASED"]
workers 2
threads 1, 4
bind "unix://#{ENV.fetch('TENDMAP_BIND')}" if ENV["TENDMAP_BIND"]

on_worker_boot { TENDMAP.connect if defined?(TENDMAP) }
on_worker_shutdown { TENDMAP.close if defined?(TENDMAP) }
