"""Every error is a tendmap.Error, and also an error of Python's own hierarchy."""

import datetime
import decimal
import fractions
import pathlib
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tendmap
from conftest import in_child


class Odd:
    """Converts itself to a given value."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value

    def __float__(self):
        return self.value

    def __repr__(self):
        raise ValueError("no representation")


#: What is no text, no integer of 64 bits, no policy, no anything.
STRANGE = [
    None, True, 1.5, -1, 2**63, 2**64, -(2**63) - 1, 10**5000, float("nan"), float("inf"), 1j,
    "", "x", "te\0st", "\ud800", b"raw", bytearray(b"raw"), memoryview(b"raw"), [], [None], (), {},
    {1: 2}, {"a"}, object(), int, len, np.True_, np.float64("nan"), np.timedelta64(5, "s"),
    np.arange(3.0), np.array(5), np.uint64(2**64 - 1), datetime.timedelta(-1), decimal.Decimal("sNaN"),
    decimal.Decimal(10) ** 400, fractions.Fraction(1, 3), pathlib.Path("x"), Odd("x"), Odd(2**70),
    Odd(None), Ellipsis, "test", "users", 1,
]  # fmt: skip


def calls(client, cluster):
    """Every call, with one argument left open."""
    route = client.locate("test", "users", 1)
    array, out = np.arange(3), np.zeros(3, dtype=np.uint16)
    yield "namespace", lambda x: client.route(x, "users", 1)
    yield "set", lambda x: client.route("test", x, 1)
    yield "key", lambda x: client.route("test", "users", x)
    yield "policy", lambda x: client.route("test", "users", 1, x)
    yield "locate namespace", lambda x: client.locate(x, "users", 1)
    yield "locate set", lambda x: client.locate("test", x, 1)
    yield "locate key", lambda x: client.locate("test", "users", x)
    yield "locate policy", lambda x: client.locate("test", "users", 1, x)
    yield "digest namespace", lambda x: client.route_digest(x, bytes(20))
    yield "digest", lambda x: client.route_digest("test", x)
    yield "digest policy", lambda x: client.route_digest("test", bytes(20), x)
    yield "retry", lambda x: client.retry(x)
    yield "batch namespace", lambda x: client.route_batch(x, "users", [1])
    yield "batch set", lambda x: client.route_batch("test", x, [1])
    yield "batch keys", lambda x: client.route_batch("test", "users", x)
    yield "batch key", lambda x: client.route_batch("test", "users", [1, x])
    yield "batch policy", lambda x: client.route_batch("test", "users", [1], x)
    yield "array namespace", lambda x: client.route_batch(x, "users", array)
    yield "array set", lambda x: client.route_batch("test", x, array)
    yield "array policy", lambda x: client.route_batch("test", "users", array, x)
    yield "array out", lambda x: client.route_batch("test", "users", array, out=x)
    yield "list out", lambda x: client.route_batch("test", "users", [1, x], out=out)
    yield "racks", lambda x: client.set_preferred_racks(x)
    yield "rack", lambda x: client.set_preferred_racks([x])
    yield "interval", lambda x: client.set_tend_interval(x)
    yield "password", lambda x: client.set_password(x)
    yield "sequence", lambda x: client.wait_for_change(x, 0)
    yield "module digest set", lambda x: tendmap.digest(x, 1)
    yield "module digest key", lambda x: tendmap.digest("users", x)
    yield "hosts", lambda x: tendmap.Client(x, lazy=True)
    yield "host", lambda x: tendmap.Client([x], lazy=True)
    yield "name of a pair", lambda x: tendmap.Client([(x, 1)], lazy=True)
    yield "port of a pair", lambda x: tendmap.Client([("a", x)], lazy=True)
    yield "TLS name", lambda x: tendmap.Client([("a", 1, x)], lazy=True)
    yield "second argument", lambda x: tendmap.Client("a", x)
    yield "ip_map from", lambda x: tendmap.Client("a", lazy=True, ip_map={"a": x})
    yield "preferred rack", lambda x: tendmap.Client("a", lazy=True, preferred_racks=[x])
    for name in SETTINGS:
        yield name, lambda x, name=name: tendmap.Client("a", **{"lazy": True, name: x})
    yield "lazy", lambda x: tendmap.Client("127.0.0.1:1", lazy=x, shm_directory="/nowhere")
    yield "status setting", lambda x: tendmap.status(shm_directory="/nowhere", shm_key=x)
    for name in ["kill", "stop", "start", "freeze", "thaw", "remove", "move_node"]:
        yield name, lambda x, name=name: getattr(cluster, name)(99 if x is STRANGE[-1] else x)
    yield "port", lambda x: cluster.move_node(99, x)
    yield "rack number", lambda x: cluster.set_rack(x, "test", 1)
    yield "rack namespace", lambda x: cluster.set_rack(1, x, 1)
    yield "rack of a node", lambda x: cluster.set_rack(99, "test", x)
    yield "owners", lambda x: cluster.owners(x)
    yield "a cluster's nodes", lambda x: tendmap.SimulatedCluster(0 if x is STRANGE[-1] else x).close()
    yield "a cluster's name", lambda x: tendmap.SimulatedCluster(0, cluster_name=x)
    yield "a cluster's port", lambda x: tendmap.SimulatedCluster(0, base_port=x)
    yield "a cluster's edition", lambda x: tendmap.SimulatedCluster(0, enterprise=x)
    yield "a cluster's namespaces", lambda x: tendmap.SimulatedCluster(0, namespaces=x)
    yield "a namespace's name", lambda x: tendmap.SimulatedCluster(0, namespaces={x: 1})
    yield "a namespace's factor", lambda x: tendmap.SimulatedCluster(0, namespaces={"test": x})
    assert route


SETTINGS = [
    "cluster_name", "user", "password", "auth_mode", "tls", "tls_cafile", "tls_certfile",
    "tls_keyfile", "tls_for_login_only", "use_services_alternate", "ip_map", "use_shm", "shm_key",
    "shm_max_nodes", "shm_max_namespaces", "shm_max_replicas", "shm_node_ceiling",
    "shm_namespace_ceiling", "shm_takeover_threshold", "shm_backend", "shm_directory", "shm_mode",
    "shm_owner", "shm_allow_group_write", "preferred_racks", "tend_interval", "connect_timeout",
    "nonsense", "\ud800",
]  # fmt: skip


def test_h106_whatever_is_passed_only_errors_of_tendmap_are_raised(client, cluster):
    refused = 0
    for name, call in calls(client, cluster):
        for strange in STRANGE:
            try:
                call(strange)
            except tendmap.Error as error:
                refused += 1
                assert str(error), name
            except TypeError as error:
                # Python's own error: the argument can't be passed at all.
                assert name == "a namespace's name" and " hash" in str(error).replace("unhash", " hash"), (name, error)
    assert refused > 1000, "most arguments are refused"
    assert client.route("test", "users", 1) is client.route("test", "users", 1)


@pytest.mark.parametrize(
    ("call", "kinds", "said"),
    [
        (lambda c: c.route("test", "s", 1, "masters"), [tendmap.ArgumentError, ValueError], '"masters"'),
        (lambda c: c.route("test", "s", 2**63), [tendmap.ArgumentError, OverflowError], "64 bits"),
        (lambda c: c.route_batch("test", "s", [-(2**64)]), [OverflowError, ValueError], "64 bits"),
        (lambda c: c.route("test", "s", None), [tendmap.ArgumentTypeError, TypeError], "NoneType"),
        (lambda c: c.route("test", "s", np.bool_(1)), [TypeError], "key of type bool"),
        (lambda c: c.route(b"test", "s", 1), [TypeError], "namespace of type bytes; wanted str"),
        (lambda c: c.route("test", "s", "\udfff"), [tendmap.TextError, UnicodeError], "position 0"),
        (lambda c: c.retry(None), [TypeError], "wanted the tendmap.Route of locate()"),
        (lambda c: c.route_digest("test", "x" * 20), [TypeError], "digest of type str; wanted bytes"),
        (lambda c: c.wait_for_change(-1), [OverflowError], "sequence is -1; wanted from 0 to"),
        (lambda c: c.wait_for_change(None), [TypeError], "sequence of type NoneType"),
        (lambda c: c.wait_for_change(1.0), [TypeError], "sequence of type float"),
    ],
)
def test_h106_an_error_is_also_of_pythons_own_family(client, call, kinds, said):
    with pytest.raises(tendmap.Error) as raised:
        call(client)
    assert said in str(raised.value)
    for kind in kinds:
        assert isinstance(raised.value, kind), kind


def test_h106_a_password_that_is_no_text_is_not_shown(client):
    for call in [lambda s: tendmap.Client("a", user="u", password=s), client.set_password]:
        with pytest.raises(tendmap.TextError) as raised:
            call("secret\ud800")
        shown = repr(raised.value) + str(raised.value) + repr(raised.value.__cause__)
        assert "secret" not in shown


def test_h106_what_the_applications_own_code_raises_goes_through(client):
    class Own(Exception):
        pass

    def keys():
        yield 1
        raise Own

    class Key:
        def __index__(self):
            raise Own

    for call in [
        lambda: client.route_batch("test", "s", keys()),
        lambda: client.route("test", "s", Key()),
        lambda: client.wait_for_change(Key()),
        lambda: tendmap.Client(keys(), shm_directory="/nowhere"),
    ]:
        with pytest.raises((Own, tendmap.ArgumentTypeError)):
            call()


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ({"hosts": [("127.0.0.1", 3000)]}, 'tendmap.Client(config["hosts"], '),
        ({"127.0.0.1": 3000}, 'tendmap.Client([("127.0.0.1", 3000)], '),
        ({}, "settings are keyword arguments"),
        (("127.0.0.1", 3000), "of one server write [(NAME, PORT)]"),
        ([("127.0.0.1", True)], "a host's port of type bool"),
        ([("127.0.0.1", "3000")], "a host's port of type str"),
        ([("a:1,b", 3000)], "wanted one without a comma"),
        ([("a", 1, "b", 2)], "with 4 parts"),
        (None, "hosts of type NoneType"),
    ],
)
def test_h107_hosts_as_other_clients_take_them_get_a_hint(hosts, said):
    for lazy in [False, True]:
        with pytest.raises(tendmap.Error) as raised:
            tendmap.Client(hosts, lazy=lazy)
        assert said in str(raised.value), str(raised.value)
        assert isinstance(raised.value, (TypeError, tendmap.ConfigError))
    with pytest.raises(TypeError, match="hosts of type NoneType"):
        tendmap.Client(lazy=True)
    with pytest.raises(tendmap.ArgumentTypeError, match='Client."127.0.0.1:3000"'):
        tendmap.Client("127.0.0.1", 3000)


def test_h107_pairs_and_triples_are_hosts(cluster):
    port = int(cluster.hosts[0].rsplit(":", 1)[1])
    for pair in [("127.0.0.1", port), ["127.0.0.1", port], ("127.0.0.1", np.int64(port), None)]:
        with tendmap.Client([pair], lazy=True) as client:
            assert repr(client).startswith(f"<tendmap.Client 127.0.0.1:{port},")
    with tendmap.Client([("::1", 3, "db.example.org"), "a:1"], lazy=True) as client:
        assert repr(client).startswith("<tendmap.Client [::1]:db.example.org:3,a:1,")


@pytest.mark.parametrize(
    "timeout",
    [0, 0.02, "20ms", "0.02", "0.02s", datetime.timedelta(milliseconds=20), np.float32(0.02),
     decimal.Decimal("0.02"), fractions.Fraction(1, 50), np.int64(0)],
)  # fmt: skip
def test_h108_a_wait_takes_every_form_of_a_duration(client, cluster, timeout):
    assert cluster.settle()
    sequence = client.sequence
    begun = time.monotonic()
    client.wait_for_change(sequence, timeout)
    assert time.monotonic() - begun < 20
    assert cluster.settle(timeout) in (True, False)


@pytest.mark.parametrize(
    "timeout",
    [-1, -0.001, -(10**400), float("nan"), float("-inf"), "-1", "nan", "inf", "1d",
     "", "soon", "\ud800", datetime.timedelta(-1), np.float64("nan"), decimal.Decimal("-Infinity"),
     decimal.Decimal("sNaN"), True, [], b"1", 1j, {}],
)  # fmt: skip
def test_h108_a_wait_refuses_what_is_no_duration(client, cluster, timeout):
    for call in [lambda: client.wait_for_change(0, timeout), lambda: cluster.settle(timeout)]:
        with pytest.raises(tendmap.Error, match="^timeout (is|of type|has) ") as raised:
            call()
        assert isinstance(raised.value, (ValueError, TypeError))


def test_h106_after_a_fork_a_wrong_argument_is_the_same_error(client):
    def child():
        for arguments in [("test", "s", None), ("test", "s", 1, "masters"), ("nope", "s", 1)]:
            with pytest.raises(tendmap.Error):
                client.route(*arguments)
        with pytest.raises(tendmap.Error):
            client.wait_for_change(-1)
        client.close()
        with pytest.raises(tendmap.ClosedError):
            client.route("test", "s", 1)

    in_child(child)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in ("password", "\ud800")])
def test_h106_a_zero_byte_in_a_setting_is_an_error_of_tendmap(cluster, settings, name):
    """A zero byte would truncate a path or a name in C."""
    given = {**settings, "user": "u", "password": "p", name: "x\0y"}
    with pytest.raises(tendmap.Error):
        tendmap.Client(cluster.hosts, **given).close()


def test_h106_a_closed_simulated_cluster_says_so():
    cluster = tendmap.SimulatedCluster(1)
    cluster.close()
    cluster.close()
    for call in [
        lambda: cluster.hosts,
        lambda: cluster.kill(1),
        lambda: cluster.add(),
        lambda: cluster.settle(0),
        lambda: cluster.owners("test"),
    ]:
        with pytest.raises(tendmap.ClosedError, match="closed"):
            call()


WATCHER = """
import asyncio, sys, tendmap

client = tendmap.Client({hosts!r}, **{settings!r})

async def watch():
    sequence = client.sequence
    while True:
        now = await asyncio.to_thread(client.wait_for_change, sequence, "500ms")
        if now != sequence:
            sequence = now

async def main():
    task = asyncio.create_task(watch())
    await asyncio.sleep(0.2)
    {end}

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "task.cancel()",
        "client.close()",
        "task.cancel(); client.close()",
        "await asyncio.wait([task], timeout=0.1)",
        "sys.exit(0)",
    ],
)
def test_h108_a_program_of_asyncio_that_waits_ends(cluster, settings, end):
    program = WATCHER.format(hosts=cluster.hosts, settings=settings, end=end)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr


def test_a_simulated_cluster_shows_what_it_is(cluster):
    assert repr(cluster) == f"<tendmap.SimulatedCluster {','.join(cluster.hosts)}>"
    in_child(lambda: "of the parent" in repr(cluster) or 1 / 0)
    other = tendmap.SimulatedCluster(1)
    other.close()
    assert repr(other) == "<tendmap.SimulatedCluster, closed>"


def test_help_shows_keys_and_modes_as_people_write_them():
    shown = tendmap.Client.__text_signature__ + tendmap.status.__text_signature__
    assert "2801795072" not in shown and "384" not in shown
    assert "0xA7000000" in shown and "0600" in shown


#: Clears a screen, names a window, turns text around, begins other lines.
FOREIGN = "\x1b[2J\x1b]0;x\x07\r\x08\x9b31m\x85\u202e\u2066\u200f\u061c\ufeff\u2028\x7f%n{}"


def forger():
    """A server that refuses every command with a text of its own; returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection):
        with connection, connection.makefile("rb") as requests:
            while len(header := requests.read(8)) == 8:
                names = requests.read(int.from_bytes(header[2:], "big")).split()
                body = b"".join(b"%s\tERROR:4:%s\n" % (name, FOREIGN.encode()) for name in names)
                connection.sendall(b"\x02\x01" + len(body).to_bytes(6, "big") + body)

    def serve():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return "127.0.0.1:%d" % listener.getsockname()[1]


def test_h113_an_exception_does_nothing_to_a_terminal(cluster, client):
    with pytest.raises(tendmap.Error) as caught:
        tendmap.Client(forger(), use_shm=False)
    assert "ERROR:4:\\u{1b}[2J" in str(caught.value)
    assert str(caught.value).isprintable()
    for call in [
        lambda: tendmap.Client(FOREIGN, use_shm=False),
        lambda: tendmap.Client([FOREIGN], use_shm=False),
        lambda: tendmap.Client("127.0.0.1:1", use_shm=False, **{FOREIGN: 1}),
        lambda: tendmap.Client("127.0.0.1:1", use_shm=False, cluster_name=FOREIGN),
        lambda: tendmap.Client("127.0.0.1:1", use_shm=False, tls_cafile="/" + FOREIGN),
        lambda: tendmap.Client("127.0.0.1:1", shm_owner=FOREIGN),
        lambda: tendmap.Client("127.0.0.1:1", shm_directory="/" + FOREIGN),
        lambda: client.route(FOREIGN, "users", 1),
    ]:
        with pytest.raises(tendmap.Error) as caught:
            call()
        assert str(caught.value).isprintable(), repr(str(caught.value))
