"""The library's log is that of `logging.getLogger("tendmap")`."""

import logging
import os
import subprocess
import sys
import threading

import pytest

import tendmap
from conftest import in_child, wait_until


def lines(caplog, level="INFO"):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.partition(".")[0] == "tendmap" and record.levelno >= getattr(logging, level)
    ]


def test_events_are_logged_at_their_level(cluster, settings, caplog):
    caplog.set_level("DEBUG")
    with tendmap.Client(cluster.hosts, **settings) as client:
        wait_until("nodes", lambda: sum("node added" in line for line in lines(caplog)) == 3)
        cluster.kill(3)
        wait_until("a warning", lambda: any("does not answer" in x or "fail" in x for x in lines(caplog, "WARNING")))
        assert client.events()
    found = {record.getMessage(): record for record in caplog.records}
    owner = next(record for text, record in found.items() if text.startswith("owner: generation"))
    assert (owner.name, owner.levelname) == ("tendmap", "INFO") and owner.created > 1e9
    wait_until("published", lambda: any(text.startswith("published") for text in lines(caplog, "DEBUG")))


def test_a_level_that_is_not_wanted_is_not_logged(cluster, settings, caplog):
    caplog.set_level("WARNING", logger="tendmap")
    with tendmap.Client(cluster.hosts, **settings):
        cluster.kill(3)
        wait_until("a warning", lambda: lines(caplog, "WARNING"))
    assert not [record for record in caplog.records if record.levelno < logging.WARNING]


def test_h175_a_child_logs_for_itself(client, caplog, directory, cluster):
    caplog.set_level("DEBUG")

    def child():
        caplog.clear()
        client.route("test", "users", 1)
        wait_until("the child's own", lambda: any("follower" in line for line in lines(caplog)))
        assert not any(line.startswith("owner") for line in lines(caplog)), "the parent's"

    in_child(child)


def test_h175_an_interpreter_that_does_not_let_go_does_not_stop_tending(cluster, directory):
    # One thread keeps the interpreter's lock in C for as long as it waits for a change that
    # only the client's own thread can make, and which is logged.
    program = f"""
import ctypes, logging, os, sys, tendmap
logging.basicConfig(stream=sys.stdout, level="DEBUG", format="%(message)s")
client = tendmap.Client({cluster.hosts!r}, shm_directory={directory!r}, tend_interval="50ms")
fd = client.changes()
before = client.wait_for_change(0)
fd.take()
os.write(3, b"r")
class Poll(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]
# PyDLL keeps the lock during the call.
poll = ctypes.PyDLL(None).poll
while True:
    assert poll(ctypes.byref(Poll(fd.fileno(), 1, 0)), ctypes.c_ulong(1), 60_000) == 1
    # It may be readable once for the publication that was there before.
    if fd.take() > before:
        break
client.close()
"""
    read, write = os.pipe()
    os.set_inheritable(write, True)

    def in_place():
        os.dup2(write, 3)

    wait_until("settled", cluster.settle)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, preexec_fn=in_place, close_fds=False
    )
    os.read(read, 1)
    cluster.stop(3)
    said, _ = process.communicate(timeout=100)
    os.close(read)
    os.close(write)
    assert process.returncode == 0 and "published: sequence 2" in said, said


def test_h175_a_program_ends_while_lines_arrive(cluster, directory):
    program = f"""
import logging, sys, tendmap
logging.basicConfig(stream=sys.stdout, level="DEBUG", format="%(message)s")
tendmap.Client({cluster.hosts!r}, shm_directory={directory!r}, tend_interval="50ms")
client = tendmap.Client({cluster.hosts!r}, shm_directory={directory!r}, tend_interval="50ms")
"""
    for _ in range(5):
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stderr) == (0, "") and "owner: generation" in ended.stdout


def test_h175_the_lines_that_were_taken_are_written_before_the_end(cluster, directory):
    # The thread takes all lines but the first at once, and the program ends while it writes
    # the second.
    program = f"""
import logging, sys, tendmap, threading, time
closed, second = threading.Event(), threading.Event()
class Slow(logging.StreamHandler):
    def emit(self, record):
        closed.wait()
        super().emit(record)
        if not record.getMessage().startswith("owner"):
            second.set()
            time.sleep(0.05)
logging.basicConfig(handlers=[Slow(sys.stdout)], level="DEBUG", format="%(message)s")
tendmap.Client({cluster.hosts!r}, shm_directory={directory!r}, tend_interval="50ms").close()
closed.set()
second.wait()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "") and "published: sequence 1" in ended.stdout, ended.stdout


def test_a_handler_may_use_the_client(client, cluster):
    class Handler(logging.Handler):
        seen = []

        def emit(self, record):
            self.seen.append((record.getMessage(), client.sequence, threading.current_thread().name))

    handler, logger = Handler(), logging.getLogger("tendmap")
    logger.addHandler(handler)
    try:
        cluster.stop(3)
        wait_until("it is called", lambda: handler.seen)
    finally:
        logger.removeHandler(handler)
    assert handler.seen[0][2] == "tendmap-log"


def test_gevent_does_not_stop():
    pytest.importorskip("gevent", reason="skipped: gevent is not installed here")
    program = """
from gevent import monkey; monkey.patch_all()
import gevent, logging, sys, tendmap
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
with tendmap.SimulatedCluster() as cluster, tendmap.Client(cluster.hosts, use_shm=False) as client:
    for _ in range(10):
        gevent.sleep(0.01)
    print(client.route("test", "users", 1).port > 0)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and "True" in ended.stdout, ended.stderr
