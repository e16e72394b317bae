"""Fixtures for the tests: a simulated cluster, and a directory for segments."""

import os
import shutil
import tempfile
import time
import traceback

import pytest

import tendmap


@pytest.fixture
def cluster():
    with tendmap.SimulatedCluster(3, namespaces={"test": 2}, cluster_name="lab") as cluster:
        yield cluster


@pytest.fixture
def directory():
    path = tempfile.mkdtemp(prefix="tendmap-py-", dir="/dev/shm")
    yield path

    def removed():
        # What still ends, such as a connect that was interrupted, removes and makes files here.
        shutil.rmtree(path, ignore_errors=True)
        return not os.path.exists(path)

    wait_until(f"{path} is gone", removed)


@pytest.fixture
def settings(directory):
    """Settings with short intervals."""
    return {"shm_directory": directory, "tend_interval": 0.05}


@pytest.fixture
def client(cluster, settings):
    with tendmap.Client(cluster.hosts, **settings) as client:
        yield client


def owner_of(cluster, key):
    partition = int.from_bytes(tendmap.digest("users", key)[:2], "little") & 4095
    return cluster.owners("test")[partition][0]


def wait_until(what, done, at_most=30.0):
    """Waits until `done` returns true, and fails after a generous time."""
    until = time.monotonic() + at_most
    while not done():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.005)


def wait_until_at_rest(client, cluster):
    """Waits until the map is whole, so that it changes no more by itself. On a busy machine the
    first map may lack a node that answered too late."""
    assert cluster.settle()
    holes = lambda: sum(namespace["holes"] for namespace in client.status()["namespaces"])
    wait_until("the map is whole", lambda: len(client.nodes()) == len(cluster.hosts) and not holes())


def in_child(work):
    """Runs `work` in a forked child; fails if the child fails or does not end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # The child runs nothing of the parent's pytest.
            os._exit(code)
    until = time.monotonic() + 60
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == pid:
            assert os.waitstatus_to_exitcode(status) == 0, "the child failed, see above"
            return
        if time.monotonic() > until:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.005)
