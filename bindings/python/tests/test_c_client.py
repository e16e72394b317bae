"""A client keeps a segment of Aerospike's C client filled."""

import ctypes
import random
import struct

import pytest

import tendmap
from conftest import wait_until

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
IPC_RMID, SHM_RDONLY = 0, 0o10000


@pytest.fixture
def key():
    key = random.randrange(0x0100_0000, 0x7000_0000)
    yield key
    found = libc.shmget(key, 0, 0)
    if found >= 0:
        libc.shmctl(found, IPC_RMID, None)


def header(key):
    """Pid of the owner, slots in use, and whether the segment is ready."""
    found = libc.shmget(key, 0, 0)
    if found < 0:
        return None
    address = libc.shmat(found, None, SHM_RDONLY)
    copy = ctypes.string_at(address, 56)
    libc.shmdt(ctypes.c_void_p(address))
    return (*struct.unpack_from("<II", copy, 8), copy[49])


def test_official_clients_segment_is_made_and_left(cluster, settings, key):
    settings |= {"c_client": [f"0x{key:x}:python-19.3"], "c_client_on_exit": "release"}
    with tendmap.Client(cluster.hosts, **settings) as client:
        wait_until("the segment is ready", lambda: (header(key) or (0, 0, 0))[1:] == (3, 1))
        wait_until("an event", lambda: any(
            event["event"] == "c_client_created" and event["c_client_key"] == key
            for event in client.events()
        ))


@pytest.mark.parametrize("wrong", ["7:7.6.1:", "7", "0:7.6.1", "7:99.1", "7:python-2", "x:7.6.1"])
def test_a_wrong_target_is_a_wrong_setting(cluster, settings, wrong):
    with pytest.raises(tendmap.ConfigError, match="c_client"):
        tendmap.Client(cluster.hosts, c_client=wrong, **settings)


def test_a_target_of_a_wrong_type_is_refused(cluster, settings):
    with pytest.raises(tendmap.ArgumentTypeError, match="c_client"):
        tendmap.Client(cluster.hosts, c_client=[object()], **settings)
