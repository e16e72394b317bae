"""Waiting for a map or for a change, and what ends it: a change, the time, a signal, a close."""

import contextlib
import datetime
import os
import signal
import socket
import threading
import time

import pytest

import tendmap
from conftest import in_child, wait_until, wait_until_at_rest


def test_the_owner_tends_before_its_time_when_it_is_asked(cluster, directory):
    settings = {"tend_interval": 20, "shm_takeover_threshold": 3600}
    with tendmap.Client(cluster.hosts, shm_directory=directory, **settings) as client:
        before = client.status()["tends"]

        def tended():
            # Repeated, because a request may be lost.
            client.request_tend()
            return client.status()["tends"] > before

        wait_until("it has tended", tended, at_most=15)


def test_waiting_ends_with_a_change_and_with_the_time(client, cluster):
    assert client.wait_for_change(0) > 0
    wait_until_at_rest(client, cluster)
    now = client.sequence
    begun = time.monotonic()
    assert client.wait_for_change(now, timeout=0.05) == now
    assert time.monotonic() - begun >= 0.05
    changed = []
    waiter = threading.Thread(target=lambda: changed.append(client.wait_for_change(now, 30)))
    waiter.start()
    cluster.stop(3)
    # This thread runs while the other one waits.
    waiter.join(30)
    assert changed and changed[0] > now
    # A time beyond the clock's range means for ever.
    for timeout in [1e19, 1e300, 10**400, "1e18s", datetime.timedelta.max, None]:
        assert client.wait_for_change(0, timeout) > 0
        assert cluster.settle(timeout)


class Interrupted(Exception):
    """What the handler of a signal raises."""


def interrupt(*_):
    raise Interrupted


@contextlib.contextmanager
def interrupted(handler=interrupt):
    """A signal comes within a moment; its handler must end the block with Interrupted."""
    former = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def test_a_signal_ends_waiting(client):
    sequence = client.sequence
    with interrupted():
        while True:
            sequence = client.wait_for_change(sequence)


@pytest.fixture
def hung():
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("use_shm", [False, True])
def test_a_signal_ends_connecting_to_a_hung_server(settings, directory, hung, lazy, use_shm):
    begun = time.monotonic()
    with interrupted():
        tendmap.Client(
            hung,
            lazy=lazy,
            use_shm=use_shm,
            connect_timeout=60,
            shm_takeover_threshold=300,
            **settings,
        ).route("test", "users", 1)
    assert time.monotonic() - begun < 30


def test_a_fork_while_another_thread_connects_to_a_hung_server(cluster, settings, hung):
    hosts, failed = cluster.hosts, []

    def connect():
        try:
            tendmap.Client(hung, shm_key=1, connect_timeout=3, **settings)
        except tendmap.TendError as error:
            failed.append(error)

    def child():
        with tendmap.Client(hosts, **settings) as client:
            client.route("test", "users", 1)

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        in_child(child)
    finally:
        thread.join()
    assert len(failed) == 1


def test_a_handler_that_forks_while_connecting(cluster, settings, hung):
    """The child does not have the connecting thread; it connects by itself."""
    codes = []

    def handler(*_):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(7))
            signal.setitimer(signal.ITIMER_REAL, 0.3)
        else:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            raise Interrupted

    parent = os.getpid()
    try:
        with interrupted(handler):
            tendmap.Client(hung, connect_timeout=60, shm_takeover_threshold=300, **settings)
    finally:
        if os.getpid() != parent:
            os._exit(8)
    assert codes == [7]


def test_h99_close_has_closed_while_threads_wait(cluster, settings, directory):
    for _ in range(5):
        client = tendmap.Client(cluster.hosts, **settings)
        sequence = client.wait_for_change(0)
        raised = []

        def wait():
            try:
                client.wait_for_change(sequence)
            except tendmap.ClosedError as error:
                raised.append(error)

        waiters = [threading.Thread(target=wait) for _ in range(3)]
        for waiter in waiters:
            waiter.start()
        left = []

        def close():
            client.close()
            left.append(os.listdir(directory))

        closers = [threading.Thread(target=close) for _ in range(2)]
        for closer in closers:
            closer.start()
        for thread in closers + waiters:
            thread.join()
        assert left == [[], []], "it has closed when it returns, for both"
        assert len(raised) == 3
