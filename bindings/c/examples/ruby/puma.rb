# Settings of Puma for config.ru: preloaded, four workers, one of which tends.

preload_app!
workers 4
threads 1, 3
bind ENV.fetch("TENDMAP_BIND", "tcp://127.0.0.1:8000")

# Not needed (the first request would do it), but there is an owner before there
# is a request.
on_worker_boot { TENDMAP.connect }

# A worker that ends hands the ownership over; one that is killed is found out,
# milliseconds later.
on_worker_shutdown { TENDMAP.close }
