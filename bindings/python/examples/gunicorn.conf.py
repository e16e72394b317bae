"""Settings of gunicorn for app.py: preloaded, eight workers, one of which tends."""

preload_app = True
workers = 8
bind = "127.0.0.1:8000"


def post_worker_init(worker):
    # Not needed (the first request would do it), but the first request is
    # faster, and there is an owner before there is a request. In post_fork the
    # worker would not be the user yet that it is to run as.
    from app import client

    client.connect()


def worker_exit(server, worker):
    # A worker that is recycled hands the ownership over; one that is killed
    # is found out, milliseconds later.
    from app import client

    client.close()
