"""Settings of gunicorn for app.py: preloaded, eight workers, one of which tends."""

preload_app = True
workers = 8
bind = "127.0.0.1:8000"


def post_worker_init(worker):
    # Optional: the first request would connect as well. With this the first
    # request is faster, and there is an owner before it. In post_fork the
    # worker has not yet changed to its own user.
    from app import client

    client.connect()


def worker_exit(server, worker):
    # A recycled worker hands the ownership over. A killed worker is noticed
    # milliseconds later.
    from app import client

    client.close()
