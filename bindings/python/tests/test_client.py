"""Connecting, routing, status, closing."""

import gc
import os
import signal
import threading
import time
import weakref

import pytest

import tendmap
from conftest import wait_until


def test_a_key_goes_to_the_master_that_the_cluster_tells(client, cluster):
    owners = cluster.owners("test")
    for key in [1, -1, 2**63 - 1, -(2**63), "ann", "", "ü\0x", b"raw", b"", bytearray(b"raw"), 1.5]:
        digest = tendmap.digest("users", key)
        partition = int.from_bytes(digest[:2], "little") & 4095
        node = client.route("test", "users", key)
        assert node.name == owners[partition][0], key
        assert client.route("test", "users", key, "master") is node
        assert client.route_digest("test", digest, policy="master") is node
        route = client.locate("test", "users", key)
        assert (route.node, route.partition, route.replica) == (node, partition, 0)
        assert route.sequence > 0 and route.namespace == "test"


def test_digests_are_those_of_the_official_client():
    assert tendmap.digest("set", "haha").hex() == "36eb02a807dbade8cd784e7800d76308b4e89212"
    assert tendmap.digest(None, 1) == tendmap.digest("", 1)
    assert tendmap.digest("s", "a") != tendmap.digest("s", b"a")


def test_a_failed_command_goes_to_the_next_replica(client):
    route = client.locate("test", "users", 1)
    second = client.retry(route)
    assert (second.replica, second.partition) == (1, route.partition)
    assert second.node is not route.node
    assert client.retry(second).node is route.node
    master = client.locate("test", "users", 1, "master")
    assert client.retry(master).node is master.node


def test_any_and_random_use_all_replicas(client):
    for policy in ["any", "random"]:
        found = {client.route("test", "users", 1, policy) for _ in range(100)}
        assert len(found) == 2, policy


def test_nodes_tell_who_they_are_and_keep_what_is_hung_on_them(client, cluster):
    nodes = client.nodes()
    assert [node.index for node in nodes] == [0, 1, 2]
    assert sorted(node.address for node in nodes) == sorted(cluster.hosts)
    node = client.route("test", "users", 1)
    assert node in nodes and f"{node.host}:{node.port}" == node.address
    assert node.tls_name is None and node.incarnation >= 1
    assert node.name in repr(node) and node.state is None
    node.state = ["pool"]
    assert client.route("test", "users", 1).state == ["pool"]
    assert client.namespaces() == ["test"]
    with pytest.raises(AttributeError):
        node.name = "other"


def test_a_node_that_is_upgraded_is_the_same_node(client, cluster):
    node = client.nodes()[0]
    number = cluster.hosts.index(node.address) + 1
    assert node.build == "8.1.2.0"
    node.state = ["pool"]
    cluster.set_build(number, "8.1.3.0-rc1")
    wait_until("its build is known", lambda: client.nodes()[0].build == "8.1.3.0")
    assert node is client.nodes()[0] and node.state == ["pool"] and node.build == "8.1.3.0"
    builds = {member["id"]: member["build"] for member in client.status()["members"]}
    assert builds[node.name] == "8.1.3.0" and sorted(builds.values())[:2] == ["8.1.2.0", "8.1.2.0"]
    upgraded = [event for event in client.events() if event["event"] == "node_upgraded"]
    assert [(event["node"], event["from"], event["to"]) for event in upgraded] == [(node.name, "8.1.2.0", "8.1.3.0")]
    with pytest.raises(tendmap.ArgumentError, match="build is .*; wanted a build such as 8.1.2.0"):
        cluster.set_build(number, "new")


def test_what_hangs_on_a_node_is_dropped_when_its_address_changes(client, cluster):
    class Pool:
        pass

    node = client.nodes()[0]
    number = cluster.hosts.index(node.address) + 1
    node.state = Pool()
    pool = weakref.ref(node.state)
    name = node.name
    del node
    cluster.move_node(number)
    # It is away for a moment before it returns.
    moved = lambda: [node for node in client.nodes() if node.name == name and node.state is None]
    wait_until("it has another address", moved)
    # Routers release it when they see the new map.
    wait_until("it is dropped", lambda: (client.route("test", "s", 1), gc.collect(), pool())[2] is None)


def test_status_is_what_the_command_line_tells(client, directory):
    status = client.status()
    assert status["healthy"], status
    assert status["cluster_name"] == "lab" and status["owner_pid"] == os.getpid()
    assert status["path"].startswith(directory) and status["attached"] == 1
    assert status["namespaces"][0]["name"] == "test"
    assert client.role == "owner" and client.sequence >= status["sequence"] > 0


def test_a_status_can_be_asked_for_without_taking_part(client, settings, directory):
    found = tendmap.status(shm_directory=directory)
    assert found["owner_pid"] == os.getpid() and found["attached"] == 1
    with pytest.raises(tendmap.SegmentError, match="no segment of key 0x00000001"):
        tendmap.status(shm_directory=directory, shm_key=1)
    with pytest.raises(tendmap.ConfigError):
        tendmap.status(nonsense=1)


def test_h129_asking_for_the_status_makes_no_file(cluster, settings, directory):
    # The owner dies, and its lock file is removed.
    hosts = cluster.hosts
    pid = os.fork()
    if pid == 0:
        try:
            kept = tendmap.Client(hosts, **settings)
            os.kill(os.getpid(), signal.SIGKILL if kept.role == "owner" else signal.SIGTERM)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    for name in os.listdir(directory):
        if name.endswith(".lock"):
            os.remove(os.path.join(directory, name))
    before = os.listdir(directory)
    assert tendmap.status(shm_directory=directory)["owner_alive"] is False
    assert os.listdir(directory) == before and len(before) == 1


def test_what_happens_is_told_once(client, cluster):
    events = client.events()
    assert [event["event"] for event in events[:1]] == ["owner"]
    added = [event for event in events if event["event"] == "node_added"]
    assert sorted(event["address"] for event in added) == sorted(cluster.hosts)
    assert all(event["level"] in ("debug", "info", "warning") for event in events)
    assert all(abs(event["time"] - time.time()) < 600 for event in events)

    cluster.kill(3)
    told = []

    def removed():
        told.extend(event["event"] for event in client.events())
        return "node_removed" in told

    wait_until("the node is gone", removed)
    assert "owner" not in told, "no event is returned twice"


def test_a_closed_client_says_so(cluster, settings, directory):
    with tendmap.Client(cluster.hosts, **settings) as client:
        client.route("test", "users", 1)
        assert not client.closed
    assert client.closed
    client.close()
    for call in [
        lambda: client.route("test", "users", 1),
        lambda: client.locate("test", "users", 1),
        lambda: client.route_digest("test", bytes(20)),
        lambda: client.route_batch("test", "users", [1]),
        lambda: client.status(),
        lambda: client.nodes(),
        lambda: client.events(),
        lambda: client.request_tend(),
        lambda: client.namespaces(),
        lambda: client.role,
        lambda: client.sequence,
        lambda: client.connect(),
        lambda: client.wait_for_change(0, 0),
        lambda: client.set_preferred_racks([1]),
        lambda: client.set_tend_interval(1),
        lambda: client.set_password("secret"),
    ]:
        with pytest.raises(tendmap.ClosedError, match="the client is closed"):
            call()
    assert os.listdir(directory) == [], "the last process to close removes the segment"


def test_a_lazy_client_connects_at_its_first_use(cluster, settings, directory):
    client = tendmap.Client(cluster.hosts, lazy=True, **settings)
    assert os.listdir(directory) == []
    client.route("test", "users", 1)
    assert os.listdir(directory) != []
    client.close()
    never = tendmap.Client(cluster.hosts, lazy=True, **settings)
    never.close()
    assert os.listdir(directory) == []


def test_clients_under_one_key_share_and_others_are_refused(cluster, client, settings):
    with tendmap.Client(cluster.hosts, **settings) as second:
        assert second.role == "owner" and second.status()["attached"] == 1
    with pytest.raises(tendmap.OtherHostsError, match="use the same hosts"):
        tendmap.Client("127.0.0.2:3000", **settings)
    with pytest.raises(tendmap.OtherClusterError, match="another shm_key"):
        tendmap.Client(cluster.hosts, cluster_name="other", **settings)


def test_a_private_map_leaves_no_file(cluster, settings, directory):
    with tendmap.Client(cluster.hosts, use_shm=False, **settings) as client:
        assert client.status()["path"] is None
        client.route("test", "users", 1)
        assert os.listdir(directory) == []


def test_no_server_is_an_error_that_leaves_nothing(settings, directory):
    with pytest.raises(tendmap.TendError, match="can't tend the cluster"):
        tendmap.Client("127.0.0.1:1", **settings)
    assert os.listdir(directory) == []


def test_wrong_arguments_of_a_route(client):
    for arguments, error, said in [
        (("nope", "s", 1), tendmap.NamespaceUnknownError, 'no namespace "nope"'),
        ((None, "s", 1), TypeError, "namespace of type NoneType; wanted str"),
        (("te\0st", "s", 1), tendmap.ArgumentError, "namespace has a zero byte; only keys"),
        (("test", 1, 1), TypeError, "set of type int; wanted str"),
        (("test", "s", None), TypeError, "key of type NoneType; wanted int, str"),
        (("test", "s", True), TypeError, "key of type bool"),
        (("test", "s", [1]), TypeError, "key of type list"),
        (("test", "s", 2**63), OverflowError, "64 bits"),
        (("test", "s", 10**5000), OverflowError, "64 bits"),
        (("test", "s", "\ud800"), tendmap.TextError, "key is not UTF-8: it has half a"),
        (("te\udc80st", "s", 1), tendmap.TextError, "namespace is not UTF-8: it has half a surrogate pair at position 2"),
        (("test", "s", 1, "masters"), ValueError, 'policy is "masters"; wanted'),
        (("test", "s", 1, 0), TypeError, "policy of type int; wanted str"),
    ]:
        with pytest.raises(error) as raised:
            client.route(*arguments)
        assert said in str(raised.value), arguments
    with pytest.raises(tendmap.ArgumentError, match="digest of 19 bytes; wanted 20"):
        client.route_digest("test", bytes(19))
    assert issubclass(tendmap.NamespaceUnknownError, (tendmap.RouteError, LookupError))
    # No failed call leaves anything behind.
    assert client.route("test", "s", 1) is client.route("test", "s", 1)


def test_every_exception_is_an_error_of_its_family():
    from tendmap import _errors

    for kind in _errors.BY_KIND.values():
        assert issubclass(kind, tendmap.Error) and kind.__module__ == "tendmap"
        assert getattr(tendmap, kind.__name__) is kind and kind.__doc__


def test_all_threads_route_at_once(client):
    wanted = {key: client.route("test", "users", key).name for key in range(200)}
    failed = []

    def work():
        try:
            for _ in range(20):
                for key, name in wanted.items():
                    assert client.route("test", "users", key).name == name
                assert [n.name for n in client.route_batch("test", "users", list(wanted))] == list(
                    wanted.values()
                )
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def test_a_thread_that_closes_does_not_break_those_that_route(cluster, settings):
    client = tendmap.Client(cluster.hosts, **settings)
    ended = []

    def work():
        try:
            while True:
                client.route("test", "users", 1)
                client.route_batch("test", "users", range(50))
        except tendmap.ClosedError:
            ended.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    client.close()
    for thread in threads:
        thread.join(30)
    assert len(ended) == 4


def test_a_key_whose_conversion_uses_the_client(client):
    class Key:
        def __index__(self):
            assert client.route("test", "users", "inner")
            return 7

    assert client.route("test", "users", Key()) is client.route("test", "users", 7)


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("call", ["route", "locate", "route_batch"])
def test_a_key_whose_conversion_closes_the_client(cluster, settings, directory, call, before):
    client = tendmap.Client(cluster.hosts, **settings)
    for _ in range(before):
        client.route("test", "users", 1)

    class Key:
        def __index__(self):
            client.close()
            return 7

    getattr(client, call)("test", "users", [Key()] if call == "route_batch" else Key())
    assert os.listdir(directory) == [], "no object keeps the segment"
    with pytest.raises(tendmap.ClosedError):
        client.route("test", "users", 7)


def test_the_map_follows_the_cluster(client, cluster):
    before = client.locate("test", "users", 1)
    number = cluster.hosts.index(before.node.address) + 1
    cluster.kill(number)
    wait_until("another node is master", lambda: client.route("test", "users", 1, "master") is not before.node)
    assert client.locate("test", "users", 1).sequence > before.sequence
