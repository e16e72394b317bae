"""Settings of a client: their Python forms, and errors that name them."""

import datetime
import decimal
import enum
import os
import pathlib
import types

import numpy as np
import pytest

import tendmap


def test_h128_a_mode_with_group_write_has_to_be_allowed(cluster, settings):
    with pytest.raises(tendmap.ConfigError, match="SIGBUS.*0640.*sysv.*shm_allow_group_write"):
        tendmap.Client(cluster.hosts, **settings, shm_mode=0o660)
    with tendmap.Client(cluster.hosts, **settings, shm_mode=0o660, shm_allow_group_write=True) as client:
        assert os.stat(client.status()["path"]).st_mode & 0o777 == 0o660


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
