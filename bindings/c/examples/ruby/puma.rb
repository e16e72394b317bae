# Settings of Puma for config.ru: preloaded, four workers, one of which tends.

preload_app!
workers 4
threads 1, 3
bind ENV.fetch("TENDMAP_BIND", "tcp://127.0.0.1:8000")

# Optional: the first request would connect as well. With this there is an owner before
# the first request.
on_worker_boot { TENDMAP.connect }

# A worker that ends hands the ownership over. A killed worker is noticed milliseconds
# later.
on_worker_shutdown { TENDMAP.close }
