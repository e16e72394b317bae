# frozen_string_literal: true

# unicorn --config-file unicorn.rb config.ru
preload_app true
worker_processes 2
listen ENV.fetch("TENDMAP_BIND") if ENV["TENDMAP_BIND"]

after_fork { |_server, _worker| TENDMAP.connect }
# Unicorn's workers end by exit!, without at_exit: the ownership is then taken over within
# milliseconds, as from a process that was killed.
