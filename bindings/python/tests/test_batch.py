"""Many keys at once."""

import array

import numpy as np
import pytest

import tendmap


def test_a_list_of_any_keys_gives_nodes(client):
    keys = [1, "ann", b"raw", 1.5, bytearray(b"x"), -5, np.int32(7)]
    found = client.route_batch("test", "users", keys)
    assert found == [client.route("test", "users", key) for key in keys]
    assert client.route_batch("test", "users", tuple(keys), "master") == found
    assert client.route_batch("test", "users", range(3)) == [
        client.route("test", "users", key) for key in range(3)
    ]
    assert client.route_batch("test", None, []) == []


@pytest.mark.parametrize("kind", ["i8", "i4", "u4", "i2", "u1"])
def test_an_array_of_integers_gives_indexes(client, kind):
    keys = np.arange(100, dtype=kind)
    found = client.route_batch("test", "users", keys)
    assert found.dtype == np.uint16 and found.shape == keys.shape
    by_index = {node.index: node for node in client.nodes()}
    wanted = [client.route("test", "users", int(key)) for key in keys]
    assert [by_index[index] for index in found] == wanted


def test_strided_arrays_and_those_of_other_byte_order_are_copied(client):
    keys = np.arange(200, dtype=np.int64)
    wanted = client.route_batch("test", "users", keys)
    assert (client.route_batch("test", "users", keys[::2]) == wanted[::2]).all()
    assert (client.route_batch("test", "users", keys[::-1]) == wanted[::-1]).all()
    assert (client.route_batch("test", "users", keys.astype(">i8")) == wanted).all()
    assert len(client.route_batch("test", "users", keys[:0])) == 0


def test_out_is_filled_and_returned(client):
    keys = np.arange(1000, dtype=np.int64)
    out = np.full(1000, 7777, dtype=np.uint16)
    assert client.route_batch("test", "users", keys, out=out) is out
    assert (out == client.route_batch("test", "users", keys)).all()


def test_read_only_keys_are_read(client):
    keys = np.arange(10, dtype=np.int64)
    keys.setflags(write=False)
    assert len(client.route_batch("test", "users", keys)) == 10


def test_wrong_arguments_of_a_batch(client):
    keys = np.arange(10, dtype=np.int64)
    read_only = np.zeros(10, dtype=np.uint16)
    read_only.setflags(write=False)
    for arguments, out, error, said in [
        ((keys.astype(float),), None, TypeError, "float64"),
        ((keys.astype("u8"),), None, TypeError, "uint64"),
        ((keys.reshape(2, 5),), None, TypeError, "one dimension"),
        ((7,), None, TypeError, "keys of type int"),
        (([1, None],), None, TypeError, "key of type NoneType"),
        (([2**63],), None, OverflowError, "64 bits"),
        ((keys,), np.zeros(9, dtype=np.uint16), ValueError, "out of 9"),
        ((keys,), np.zeros(10, dtype=np.int64), TypeError, "uint16"),
        ((keys,), np.zeros(20, dtype=np.uint16)[::2], TypeError, "contiguous"),
        ((keys,), read_only, TypeError, "written"),
        (([1],), np.zeros(1, dtype=np.uint16), TypeError, "array"),
    ]:
        with pytest.raises(error) as raised:
            client.route_batch("test", "users", *arguments, out=out)
        assert said in str(raised.value), (arguments, str(raised.value))
    with pytest.raises(tendmap.NamespaceUnknownError):
        client.route_batch("nope", "users", keys)


def test_other_arrays_of_integers_are_sequences(client):
    keys = array.array("q", range(10))
    assert client.route_batch("test", "users", keys) == client.route_batch(
        "test", "users", list(range(10))
    )


def test_a_million_keys_are_routed_as_one_by_one(client):
    keys = np.arange(1_000_000, dtype=np.int64)
    found = client.route_batch("test", "users", keys, "master")
    by_index = {node.index: node for node in client.nodes()}
    for key in range(0, 1_000_000, 9973):
        assert by_index[found[key]] is client.route("test", "users", key, "master")
    assert tendmap.NO_NODE not in found
