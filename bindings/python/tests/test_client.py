"""Connecting, routing, status, waiting, closing."""

import datetime
import decimal
import enum
import gc
import os
import pathlib
import signal
import socket
import threading
import time
import types
import weakref

import numpy as np
import pytest

import tendmap
from conftest import in_child, wait_until, wait_until_at_rest


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


def test_h128_a_mode_with_group_write_has_to_be_allowed(cluster, settings):
    with pytest.raises(tendmap.ConfigError, match="SIGBUS.*0640.*sysv.*shm_allow_group_write"):
        tendmap.Client(cluster.hosts, **settings, shm_mode=0o660)
    with tendmap.Client(cluster.hosts, **settings, shm_mode=0o660, shm_allow_group_write=True) as client:
        assert os.stat(client.status()["path"]).st_mode & 0o777 == 0o660


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


def test_a_signal_ends_waiting(client):
    class Interrupted(Exception):
        pass

    def handler(*_):
        raise Interrupted

    sequence = client.sequence
    former = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            while True:
                sequence = client.wait_for_change(sequence)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


@pytest.fixture
def hung():
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("use_shm", [False, True])
def test_a_signal_ends_connecting_to_a_hung_server(settings, directory, hung, lazy, use_shm):
    class Interrupted(Exception):
        pass

    def handler(*_):
        raise Interrupted

    former = signal.signal(signal.SIGALRM, handler)
    begun = time.monotonic()
    try:
        with pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            tendmap.Client(
                hung,
                lazy=lazy,
                use_shm=use_shm,
                connect_timeout=60,
                shm_takeover_threshold=300,
                **settings,
            ).route("test", "users", 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
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

    class Interrupted(Exception):
        pass

    def handler(*_):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(7))
            signal.setitimer(signal.ITIMER_REAL, 0.3)
        else:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            raise Interrupted

    former = signal.signal(signal.SIGALRM, handler)
    parent = os.getpid()
    try:
        with pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            tendmap.Client(hung, connect_timeout=60, shm_takeover_threshold=300, **settings)
    finally:
        if os.getpid() != parent:
            os._exit(8)
        signal.signal(signal.SIGALRM, former)
    assert codes == [7]


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


def test_every_setting_has_a_python_form(cluster, directory):
    port = int(cluster.hosts[0].rsplit(":", 1)[1])
    with tendmap.Client(
        [("127.0.0.1", port)],
        cluster_name="lab",
        ip_map={"10.0.0.1": "127.0.0.1", "10.0.0.2": "::1"},
        use_shm=True,
        shm_key="0xA7000007",
        shm_max_nodes=32,
        shm_max_namespaces=4,
        shm_max_replicas=2,
        shm_node_ceiling=64,
        shm_namespace_ceiling=8,
        shm_takeover_threshold=datetime.timedelta(seconds=20),
        shm_backend="file",
        shm_directory=pathlib.Path(directory),
        shm_mode=0o640,
        shm_owner=[os.getuid(), "root"],
        preferred_racks=[7, -1],
        tend_interval="100ms",
        connect_timeout=4.5,
    ) as client:
        status = client.status()
        assert (status["key"], status["max_nodes"]) == (0xA7000007, 32)
        assert (status["max_namespaces"], status["max_replicas"]) == (4, 2)
        assert status["tend_interval_ms"] == 100
        assert os.stat(status["path"]).st_mode & 0o777 == 0o640


@pytest.mark.parametrize("owner", [True, 1.5, ["root", True], ["root,0"], "no-such-user", ["no-such-user"]])
def test_a_user_that_is_none_is_refused(cluster, settings, owner):
    with pytest.raises(tendmap.Error, match="shm_owner"):
        tendmap.Client(cluster.hosts, **{**settings, "shm_owner": owner})


def test_settings_of_related_types_are_read_as_what_they_are():
    class Backend(str, enum.Enum):
        FILE = "file"

    class Key(int, enum.Enum):
        OURS = 7

    class Interval(float, enum.Enum):
        QUICK = 0.5

    client = tendmap.Client(
        [["a", 1], ("::1", np.int64(2)), "c:3"],
        lazy=True,
        shm_backend=Backend.FILE,
        shm_key=Key.OURS,
        tend_interval=Interval.QUICK,
        connect_timeout=decimal.Decimal("0.25"),
        shm_takeover_threshold=np.float32(5),
        shm_max_nodes=np.int64(5),
        preferred_racks=np.array([2, 1]),
        use_services_alternate=np.True_,
        ip_map=types.MappingProxyType({"a": "b"}),
    )
    assert repr(client) == "<tendmap.Client a:1,[::1]:2,c:3, shm_key=0x00000007>"
    assert dict(client._settings()) == {
        "shm_backend": "file",
        "shm_key": "7",
        "tend_interval": "0.5",
        "connect_timeout": "0.25",
        "shm_takeover_threshold": "5.0",
        "shm_max_nodes": "5",
        "preferred_racks": "2,1",
        "use_services_alternate": "true",
        "ip_map": "a=b",
    }
    client.close()
    assert repr(client).endswith(", closed>")


def test_settings_are_read_once():
    hosts, racks, mapped = ["a:1"], iter([2, 1]), {"a": "b"}
    client = tendmap.Client(iter(hosts), lazy=True, preferred_racks=racks, ip_map=mapped)
    hosts.append("nobody")
    mapped["a"] = "c"
    assert dict(client._settings()) == {"preferred_racks": "2,1", "ip_map": "a=b"}
    assert repr(client).startswith("<tendmap.Client a:1,")


def test_settings_have_no_order():
    """A login over TLS contradicts `tls=False`, in any order of the arguments."""
    wanted = pytest.raises(tendmap.ConfigError, match="EXTERNAL needs TLS")
    external = {"user": "u", "password": "p", "auth_mode": "EXTERNAL"}
    with wanted:
        tendmap.Client("a", lazy=True, tls=False, tls_cafile="/nowhere", **external)
    with wanted:
        tendmap.Client("a", lazy=True, tls_cafile="/nowhere", tls=False, **external)


@pytest.mark.parametrize(
    "hosts, settings, error, said",
    [
        ("", {}, tendmap.ConfigError, "wanted one or more NAME:PORT"),
        ([], {}, tendmap.ConfigError, "hosts"),
        ("a:x", {}, tendmap.ConfigError, "NAME:PORT"),
        (7, {}, TypeError, "hosts"),
        ([7], {}, TypeError, "hosts"),
        ("a", {"shm_nodes": 1}, tendmap.ConfigError, "no setting \"shm_nodes\"; there are hosts"),
        ("a", {"shm_key": -1}, tendmap.ConfigError, "shm_key is \"-1\""),
        ("a", {"shm_key": 2**32}, tendmap.ConfigError, "32 bits"),
        ("a", {"shm_key": []}, TypeError, "shm_key of type list"),
        ("a", {"shm_key": 10**5000}, tendmap.ConfigError, "more than 64 bits"),
        ("a", {"shm_mode": -1}, tendmap.ConfigError, 'shm_mode is "-1"; wanted octal'),
        ("a", {"shm_mode": 2**40}, tendmap.ConfigError, "shm_mode is"),
        ("a", {"shm_directory": b"/dev/shm"}, TypeError, "shm_directory of type bytes"),
        ("a", {"shm_directory": "/dev/shm/\udcff"}, tendmap.TextError, "shm_directory is not UTF-8: it has half a"),
        ("a", {"user": "u", "password": "\ud800"}, tendmap.TextError, "password is not UTF-8: it has half a"),
        ("a", {"use_shm": 2}, tendmap.ConfigError, "true or false"),
        ("a", {"tend_interval": float("nan")}, tendmap.ConfigError, "wanted seconds"),
        ("a", {"tend_interval": float("inf")}, tendmap.ConfigError, "wanted seconds"),
        ("a", {"tend_interval": 1e10}, tendmap.ConfigError, "tend_interval is"),
        ("a", {"connect_timeout": 0}, tendmap.ConfigError, "1 ms to 60 s"),
        ([("a", 70000)], {}, tendmap.ConfigError, 'hosts is "a:70000"'),
        ([("a", -1)], {}, tendmap.ConfigError, 'hosts is "a:-1"'),
        ([("a", 1, 2)], {}, TypeError, "TLS name of type int"),
        (b"a:1", {}, TypeError, "hosts of type bytes"),
        (None, {}, TypeError, "hosts of type NoneType"),
        ("\ud800", {}, tendmap.TextError, "hosts is not UTF-8: it has half a surrogate pair at position 0"),
        ("a", {"shm_max_nodes": 0}, tendmap.ConfigError, "shm_max_nodes is 0"),
        ("a", {"shm_max_nodes": 1.5}, tendmap.ConfigError, "a whole number"),
        ("a", {"shm_mode": 0o666}, tendmap.ConfigError, "0666"),
        ("a", {"tend_interval": 0.01}, tendmap.ConfigError, "wanted at least 50ms"),
        ("a", {"shm_takeover_threshold": 1}, tendmap.ConfigError, "wanted at least 4s"),
        ("a", {"ip_map": "10.0.0.1"}, tendmap.ConfigError, "wanted TOLD=USED"),
        ("a", {"ip_map": {"10.0.0.1": ""}}, tendmap.ConfigError, "wanted TOLD=USED"),
        ("a", {"ip_map": ["10.0.0.1"]}, TypeError, "ip_map of type list"),
        ("a", {"ip_map": {1: "b"}}, TypeError, "str"),
        ("a", {"ip_map": {"a": "b,c=d"}}, tendmap.ConfigError, "without comma"),
        ("a", {"preferred_racks": "left"}, tendmap.ConfigError, "separated by commas"),
        ("a", {"preferred_racks": [2**31]}, tendmap.ConfigError, "32 bits"),
        ("a", {"preferred_racks": [2**80]}, tendmap.ConfigError, "32 bits"),
        ("a", {"preferred_racks": [None]}, TypeError, "NoneType"),
        ("a", {"use_shm": "maybe"}, tendmap.ConfigError, "true or false"),
        ("a", {"cluster_name": ""}, tendmap.ConfigError, "cluster_name: empty"),
    ],
)
def test_bad_settings_are_named_also_by_a_lazy_client(hosts, settings, error, said):
    for lazy in [False, True]:
        with pytest.raises(error) as raised:
            tendmap.Client(hosts, lazy=lazy, **settings)
        assert said in str(raised.value)
    assert issubclass(tendmap.ConfigError, (tendmap.ConnectError, ValueError))


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
