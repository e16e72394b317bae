"""A process that only reads: `tendmap.Reader`."""

import copy
import os
import pickle
import subprocess
import sys
import threading

import pytest

import tendmap
from conftest import in_child, wait_until, wait_until_at_rest


@pytest.fixture
def reader(client, directory):
    with tendmap.Reader(shm_directory=directory) as reader:
        yield reader


def threads():
    return set(os.listdir("/proc/self/task"))


def test_it_routes_as_the_client_does(client, reader):
    for key in range(50):
        assert reader.route("test", "users", key).name == client.route("test", "users", key).name
    digest = tendmap.digest("users", 1)
    route = reader.locate("test", "users", 1)
    assert reader.route_digest("test", digest) is reader.route("test", "users", 1) is route.node
    assert reader.retry(route).replica == 1
    keys = [1, "ann", b"raw", 1.5]
    found = [node.name for node in reader.route_batch("test", "users", keys)]
    assert found == [node.name for node in client.route_batch("test", "users", keys)]
    assert [node.name for node in reader.nodes()] == [node.name for node in client.nodes()]
    assert reader.namespaces() == ["test"] and reader.status()["sequence"] == reader.sequence
    node = reader.nodes()[0]
    node.state = "a pool"
    assert reader.nodes()[0].state == "a pool" and client.nodes()[0].state is None
    assert repr(reader) == "<tendmap.Reader shm_key=0xa7000000>"


def test_h223_it_has_no_thread_does_not_count_as_attached_and_only_reads(client, directory):
    before, attached = threads(), client.status()["attached"]
    path = client.status()["path"]
    lines = (
        "import os, sys, tendmap\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"reader = tendmap.Reader(shm_directory={directory!r}, shm_owner={os.getuid()})\n"
        "name = reader.route('test', 'users', 1).name\n"
        "reader.route_batch('test', 'users', [1]), reader.nodes(), reader.status()\n"
        "reader.wait_for_change(reader.sequence, 0)\n"
        "print(name, len(os.listdir('/proc/self/task')))\n"
        "changes = reader.changes()\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    with tendmap.Reader(shm_directory=directory) as reader:
        reader.route("test", "users", 1)
        # Threads that connected the client may still be ending.
        wait_until("it has no thread", lambda: threads() <= before)
        assert client.status()["attached"] == attached
        if os.getuid() != 0:
            print("skipped: only root can become another user")
            return
        # Another user, who may only read.
        os.chmod(directory, 0o755)
        os.chown(path, -1, 65534)
        os.chmod(path, 0o640)
        said = subprocess.check_output([sys.executable, "-c", lines], text=True).split()
        # One thread until it is asked for changes.
        assert said == [reader.route("test", "users", 1).name, "1", "2"]


def test_it_waits_for_changes_and_a_close_ends_the_wait(client, cluster, reader):
    wait_until_at_rest(client, cluster)
    sequence = reader.sequence
    assert reader.wait_for_change(sequence, "10ms") == sequence
    with reader.changes() as changes:
        assert changes.take() == sequence and changes.sequence == sequence
        cluster.stop(3)
        assert reader.wait_for_change(sequence) > sequence
        assert changes.take() > sequence
    said = []

    def wait():
        try:
            reader.wait_for_change(2**63)
            while True:
                reader.wait_for_change(reader.sequence)
        except tendmap.ClosedError as error:
            said.append(str(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    reader.close()
    waiter.join(30)
    assert said == ["the reader is closed"]
    for call in [reader.nodes, reader.status, reader.changes, reader.request_tend]:
        with pytest.raises(tendmap.ClosedError, match="the reader is closed"):
            call()
    assert reader.closed


def test_it_reads_on_when_the_owner_is_gone_and_in_a_child(cluster, settings, directory):
    with tendmap.Client(cluster.hosts, **settings) as client:
        reader = tendmap.Reader(shm_directory=directory)
        wanted = reader.route("test", "users", 7).name
        in_child(lambda: reader.route("test", "users", 7).name == wanted or os._exit(3))
        assert client.role == "owner"
    assert reader.route("test", "users", 7).name == wanted
    reader.close()


def test_what_it_can_not_read_and_which_settings_it_has(client, directory, tmp_path):
    with pytest.raises(tendmap.SegmentError, match="no segment"):
        tendmap.Reader(shm_directory=directory, shm_key=0xA7000099)
    with pytest.raises(tendmap.OtherClusterError):
        tendmap.Reader(shm_directory=directory, cluster_name="other")
    with pytest.raises(tendmap.ConfigError, match="tend_interval is a setting of a client"):
        tendmap.Reader(shm_directory=directory, tend_interval=1)
    with pytest.raises(tendmap.ConfigError, match="no setting"):
        tendmap.Reader(nonsense=1)
    with pytest.raises(tendmap.ArgumentTypeError, match="settings by name, and no hosts"):
        tendmap.Reader("127.0.0.1:3000")
    with tendmap.Reader(shm_directory=directory, cluster_name="lab", preferred_racks=[1]) as reader:
        reader.set_preferred_racks([2, 3])
        with pytest.raises(tendmap.ConfigError):
            reader.set_preferred_racks("x")


def test_nothing_that_belongs_to_a_process_is_pickled_or_copied(client, reader):
    route = client.locate("test", "users", 1)
    changes = client.changes()
    for thing in [client, reader, route, route.node, changes]:
        for make in [pickle.dumps, copy.copy, copy.deepcopy]:
            with pytest.raises(TypeError, match="neither pickled nor copied") as raised:
                make(thing)
            assert isinstance(raised.value, tendmap.Error)


def test_a_program_may_select_on_the_descriptor(client, cluster):
    import select

    wait_until_at_rest(client, cluster)
    with client.changes() as changes:
        before = changes.take()
        poll = select.poll()
        poll.register(changes, select.POLLIN)
        # It may be readable once for the publication that was there before.
        wait_until("nothing new", lambda: poll.poll(0) == [] or not changes.take())
        cluster.stop(3)
        wait_until("a change", lambda: poll.poll(60_000) and before < changes.take() <= client.sequence)

        def child():
            with pytest.raises(tendmap.ForkedError):
                changes.take()
            with client.changes() as own:
                own.take()

        in_child(child)
        assert f"descriptor {changes.fileno()}" in repr(changes)
    assert changes.closed and repr(changes) == "<tendmap.Changes, closed>"
    with pytest.raises(tendmap.ClosedError):
        changes.take()
    changes.close()
    wait_until("it is settled", cluster.settle)
