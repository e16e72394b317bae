"""Celery tasks that route; the prefork pool's children connect for themselves.

    TENDMAP_HOSTS=127.0.0.1:3100 celery -A celery_app worker --pool prefork
"""

import json
import os

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

import tendmap

app = Celery("celery_app")
app.config_from_object(json.loads(os.environ.get("CELERY_SETTINGS", "{}")))

SETTINGS = json.loads(os.environ.get("TENDMAP_SETTINGS", "{}"))
client = tendmap.Client(os.environ["TENDMAP_HOSTS"], lazy=True, **SETTINGS)


@worker_process_init.connect
def connect(**_):
    client.connect()


@worker_process_shutdown.connect
def close(**_):
    client.close()


@app.task
def route(key):
    node = client.route("test", "users", key)
    return {"pid": os.getpid(), "role": client.role, "node": node.name}
