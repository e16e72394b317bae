"""uWSGI's hooks that connect and close app.py's client."""

import uwsgi
from uwsgidecorators import postfork

from app import client


@postfork
def connect():
    client.connect()


uwsgi.atexit = client.close
