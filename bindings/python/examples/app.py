"""A WSGI application for prefork servers: each request routes a key.

    TENDMAP_HOSTS=127.0.0.1:3100 gunicorn -c examples/gunicorn.conf.py --chdir examples app:application
    TENDMAP_HOSTS=127.0.0.1:3100 uwsgi --ini examples/uwsgi.ini --chdir examples

It is loaded once, before the workers are forked. The client is lazy: the process that
forks does not connect, each worker connects for itself, and one of them tends.
"""

import json
import os
from urllib.parse import parse_qs

import tendmap

SETTINGS = json.loads(os.environ.get("TENDMAP_SETTINGS", "{}"))
client = tendmap.Client(os.environ["TENDMAP_HOSTS"], lazy=True, **SETTINGS)


def application(environ, start_response):
    query = parse_qs(environ.get("QUERY_STRING", ""))
    try:
        node = client.route("test", "users", int(query["key"][0]))
        # A real application would now take a connection from the pool that it
        # keeps in node.state, and send its command over it.
        answer = {
            "pid": os.getpid(),
            "role": client.role,
            "node": node.name,
            "address": node.address,
        }
        status = "200 OK"
    except (KeyError, ValueError) as error:
        status, answer = "400 Bad Request", {"error": f"wanted ?key=NUMBER: {error}"}
    except tendmap.Error as error:
        status, answer = "503 Service Unavailable", {"error": str(error)}
    body = json.dumps(answer).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
