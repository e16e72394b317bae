"""Clients after os.fork and in multiprocessing."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest

import tendmap
from conftest import in_child, wait_until


def test_a_child_routes_at_once_and_plays_its_own_part(client):
    wanted = client.route("test", "users", 1).name
    client.nodes()[0].state = "the parent's"

    def child():
        assert client.route("test", "users", 1).name == wanted
        assert all(node.state is None for node in client.nodes())
        assert client.role in ("follower", "standby")
        assert "owner" not in [event["event"] for event in client.events()], "the parent's"
        assert client.status()["attached"] == 2
        client.close()
        with pytest.raises(tendmap.ClosedError):
            client.route("test", "users", 1)

    term = client.status()["term"]
    in_child(child)
    assert client.role == "owner" and client.status()["term"] == term
    assert client.nodes()[0].state == "the parent's"
    assert client.route("test", "users", 1).name == wanted


def test_a_child_takes_over_when_its_parent_closes(cluster, settings):
    client = tendmap.Client(cluster.hosts, **settings)
    client.route("test", "users", 1)
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            client.route("test", "users", 1)
            wait_until("it is the next", lambda: client.role == "standby")
            os.write(to_parent, b"r")
            os.read(from_parent, 1)
            wait_until("it has taken over", lambda: client.role == "owner")
            client.route("test", "users", 1)
            client.close()
            code = 0
        finally:
            os._exit(code)
    os.read(from_child, 1)
    client.close()
    os.write(to_child, b"g")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_children_of_children(client):
    wanted = client.route("test", "users", 1).name

    def child():
        client.route("test", "users", 1)

        def grandchild():
            assert client.route("test", "users", 1).name == wanted
            assert client.role != "owner"
            assert client.status()["attached"] == 3
            client.close()

        in_child(grandchild)
        client.close()

    in_child(child)


def test_a_fork_while_other_threads_use_the_client(client):
    stop = threading.Event()

    def work():
        while not stop.is_set():
            client.route("test", "users", 1)
            client.route_batch("test", "users", range(2000))
            client.status()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()

    def child():
        for key in range(100):
            client.route("test", "users", key)
        client.route_batch("test", "users", range(2000))
        client.status()
        client.close()

    try:
        for _ in range(10):
            in_child(child)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_lazy_client_made_before_a_fork_connects_in_each_child(cluster, settings, directory):
    client = tendmap.Client(cluster.hosts, lazy=True, **settings)

    def child():
        assert client.role == "owner", "the parent is not attached"
        client.route("test", "users", 1)
        client.close()

    in_child(child)
    assert os.listdir(directory) == []


def test_a_private_map_is_made_anew_in_a_child(cluster, settings):
    with tendmap.Client(cluster.hosts, use_shm=False, **settings) as client:
        wanted = client.route("test", "users", 1).name

        def child():
            assert client.route("test", "users", 1).name == wanted
            assert client.role == "owner", "each process has its own map"
            client.close()

        in_child(child)
        assert client.route("test", "users", 1).name == wanted


def test_the_simulated_cluster_stays_with_its_process(cluster):
    def child():
        with pytest.raises(tendmap.ClosedError, match="parent process"):
            cluster.kill(1)
        cluster.close()

    in_child(child)
    assert len(cluster.hosts) == 3


def _connect(hosts, settings):
    """For the initializer of a pool: each process makes a client of its own."""
    global _own
    _own = tendmap.Client(hosts, **settings)


def _work(key):
    return _own.route("test", "users", key).name, _own.role


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(client, cluster, settings, method):
    wanted = client.route("test", "users", 7).name
    context = multiprocessing.get_context(method)
    with context.Pool(2, _connect, (cluster.hosts, settings)) as pool:
        for name, role in pool.map(_work, [7] * 4):
            assert name == wanted and role in ("follower", "standby")
    assert client.role == "owner"


def test_a_killed_owner_is_followed_by_a_forked_worker(cluster, settings):
    """The parent only creates the client; its children own and follow."""
    client = tendmap.Client(cluster.hosts, lazy=True, **settings)
    workers = {}
    for number in range(3):
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                while True:
                    client.route("test", "users", number)
                    os.write(theirs, client.role[:1].encode())
            finally:
                os._exit(1)
        os.close(theirs)
        workers[pid] = ours

    def owner():
        roles = {pid: os.read(pipe, 65536)[-1:] for pid, pipe in workers.items()}
        return next((pid for pid, role in roles.items() if role == b"o"), None)

    try:
        for left in [2, 1]:
            wait_until("one of them owns", lambda: owner() is not None)
            killed = owner()
            os.kill(killed, signal.SIGKILL)
            os.waitpid(killed, 0)
            os.close(workers.pop(killed))
            wait_until("another child owns", lambda: owner() not in (None, killed))
            assert len(workers) == left
    finally:
        for pid, pipe in workers.items():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pipe)


def test_nothing_is_imported_at_a_first_call_that_a_fork_may_cut_short():
    # A child would wait for the import lock of a thread that it does not have.
    code = "import sys, tendmap; sys.exit('json' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_h94_two_threads_that_are_first_in_a_child_share_its_events(client):
    client.route("test", "users", 1)

    def child():
        both = threading.Barrier(2)

        def first():
            both.wait()
            assert client.role in ("follower", "standby")

        threads = [threading.Thread(target=first) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        events = []

        def told():
            events.extend(event["event"] for event in client.events())
            return "follower" in events

        wait_until("the child's first event", told)
        client.close()

    for _ in range(10):
        in_child(child)
