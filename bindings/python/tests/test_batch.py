"""Batches of keys."""

import mmap
import subprocess
import sys
import threading

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
        ((keys.astype(complex),), None, TypeError, "complex128"),
        ((keys.astype("u8") + 2**63,), None, OverflowError, "key 0 is 9223372036854775808"),
        ((keys.reshape(2, 5),), None, TypeError, "one dimension"),
        ((keys.astype(bool),), None, TypeError, "keys of type bool"),
        ((keys.astype("M8[s]"),), None, TypeError, "datetime64"),
        ((np.array([1, []], dtype=object),), None, TypeError, "key of type list"),
        ((np.array(7),), None, TypeError, "0 dimensions"),
        ((7,), None, TypeError, "keys of type int"),
        ((bytearray(b"raw"),), None, TypeError, "keys of type bytearray"),
        (([1, None],), None, TypeError, "key of type NoneType"),
        (([2**63],), None, OverflowError, "64 bits"),
        ((keys,), np.zeros(9, dtype=np.uint16), ValueError, "out of 9"),
        ((keys,), np.zeros(10, dtype=np.int64), TypeError, "uint16"),
        ((keys,), np.zeros(20, dtype=np.uint16)[::2], TypeError, "contiguous"),
        ((keys,), read_only, TypeError, "written"),
        ((keys,), np.zeros(10, dtype=">u2"), TypeError, "out of type >u2"),
        ((keys,), [0] * 10, TypeError, "out of type list"),
        ((keys,), np.zeros(21, dtype=np.uint8)[1:].view(np.uint16), TypeError, "not aligned"),
        ((keys,), keys.view(np.uint16)[:10], TypeError, "can't be written"),
        (([1],), np.zeros(1, dtype=np.uint16), TypeError, "in a column"),
    ]:
        with pytest.raises(error) as raised:
            client.route_batch("test", "users", *arguments, out=out)
        assert said in str(raised.value), (arguments, str(raised.value))
    with pytest.raises(tendmap.NamespaceUnknownError):
        client.route_batch("nope", "users", keys)


def test_out_may_be_the_keys_where_those_are_copied(client):
    keys = np.arange(10, dtype=np.uint16)
    wanted = client.route_batch("test", "users", keys)
    assert client.route_batch("test", "users", keys, out=keys) is keys
    assert (keys == wanted).all()


def test_keys_that_are_not_aligned_are_copied(client):
    keys = np.arange(10, dtype=np.int64)
    crooked = np.frombuffer(b"x" + keys.tobytes(), dtype=np.uint8)[1:].view(np.int64)
    assert not crooked.flags.aligned
    wanted = client.route_batch("test", "users", keys)
    assert (client.route_batch("test", "users", crooked) == wanted).all()


def test_more_indexes_than_there_is_memory_for_are_a_memory_error(client):
    keys = np.broadcast_to(np.int64(1), 10**15)
    with pytest.raises(MemoryError):
        client.route_batch("test", "users", keys)


def test_an_array_of_a_class_that_lies_is_read_by_numpys_rules(client):
    class Liar(np.ndarray):
        def astype(self, *args, **kwargs):
            return np.zeros(3, dtype=np.int64)

    keys = np.arange(10, dtype=np.int16)
    wanted = client.route_batch("test", "users", keys)
    assert (client.route_batch("test", "users", keys.view(Liar)) == wanted).all()


@pytest.mark.parametrize("which", ["keys", "out"])
def test_a_forgotten_name_that_changes_an_array_does_no_harm(client, which):
    arrays = {"keys": np.arange(1000), "out": np.zeros(1000, dtype=np.uint16)}

    class Name(str):
        def __del__(self):
            arrays[which].resize(3, refcheck=False)

    client.route_batch(Name("test"), "users", [1])
    if which == "keys":
        # They have been read before.
        assert len(client.route_batch("test", "users", arrays["keys"])) == 1000
    else:
        with pytest.raises(ValueError, match="out of 3 indexes for 1000 keys"):
            client.route_batch("test", "users", arrays["keys"], out=arrays["out"])


def test_what_an_iterator_raises_is_not_hidden(client):
    class Keys:
        def __iter__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.route_batch("test", "users", Keys())


@pytest.mark.parametrize("numpy", ["None", "types.ModuleType('numpy')"])
def test_without_numpy_or_with_half_of_it_sequences_are_routed(cluster, settings, numpy):
    program = f"""
import sys, types, tendmap
sys.modules["numpy"] = {numpy}
with tendmap.Client({cluster.hosts!r}, lazy=True, **{settings!r}) as client:
    print(len(client.route_batch("test", "users", [1, 2])))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("2\n", "")


def test_any_iterable_of_keys_will_do(client):
    wanted = client.route_batch("test", "users", [1, 2, 3])
    assert client.route_batch("test", "users", (key for key in [1, 2, 3])) == wanted
    assert client.route_batch("test", "users", {1: "a", 2: "b", 3: "c"}) == wanted
    assert client.route_batch("test", "users", range(1, 4)) == wanted


def test_a_million_keys_are_routed_as_one_by_one(client):
    keys = np.arange(1_000_000, dtype=np.int64)
    found = client.route_batch("test", "users", keys, "master")
    by_index = {node.index: node for node in client.nodes()}
    for key in range(0, 1_000_000, 9973):
        assert by_index[found[key]] is client.route("test", "users", key, "master")
    assert tendmap.NO_NODE not in found


def test_h135_out_that_shares_memory_with_the_keys_is_refused_unwritten(client):
    mapped = mmap.mmap(-1, 16384)
    for memory in [bytearray(16384), mapped]:
        for kind in ["i8", "i4", "u4"]:
            for start in [0, 2, 2000, np.dtype(kind).itemsize * 1000 - 2]:
                # Two arrays over the same memory; NumPy does not know that.
                keys = np.frombuffer(memory, dtype=kind, count=1000)
                keys[:] = np.arange(1000)
                out = np.frombuffer(memory, dtype=np.uint16, count=1000, offset=start)
                before = bytes(memory)
                with pytest.raises(tendmap.Error, match="shares memory") as raised:
                    client.route_batch("test", "users", keys, out=out)
                assert isinstance(raised.value, TypeError)
                assert bytes(memory) == before
            keys = np.frombuffer(memory, dtype=kind, count=1000)
            wanted = client.route_batch("test", "users", keys.copy())
            beside = keys.nbytes
            out = np.frombuffer(memory, dtype=np.uint16, count=1000, offset=beside)
            assert client.route_batch("test", "users", keys, out=out) is out
            assert (out == wanted).all()


RESIZING = """
import sys, threading, numpy as np, tendmap
hosts, settings = eval(sys.argv[1]), eval(sys.argv[2])
COUNT = 200_000
with tendmap.Client(hosts, lazy=True, **settings) as client:
    shared = {"keys": np.ones(COUNT, dtype=np.int64), "out": np.zeros(COUNT, dtype=np.uint16)}
    done = threading.Event()
    def resize():
        while not done.is_set():
            for array in shared.values():
                array.resize(3, refcheck=False)
                array.resize(COUNT, refcheck=False)
    thread = threading.Thread(target=resize)
    sys.setswitchinterval(1e-5)
    thread.start()
    good = failed = 0
    try:
        for _ in range(60):
            try:
                client.route_batch("test", "users", shared["keys"], out=shared["out"])
                good += 1
            except (ValueError, TypeError) as error:
                assert isinstance(error, tendmap.Error), error
                failed += 1
    finally:
        done.set()
        thread.join()
    print(good + failed)
"""


def test_h135_arrays_that_are_resized_during_a_call_do_no_harm(cluster, settings):
    ended = subprocess.run(
        [sys.executable, "-c", RESIZING, repr(cluster.hosts), repr(settings)],
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("60\n", "", 0)


def test_h135_two_threads_may_write_the_same_array(client):
    keys = np.arange(100_000, dtype=np.int64)
    wanted = client.route_batch("test", "users", keys.copy())
    out = np.zeros(100_000, dtype=np.uint16)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            client.route_batch("test", "users", keys, out=out)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(20):
            assert client.route_batch("test", "users", keys, out=out) is out
            assert (out == wanted).all()
    finally:
        stop.set()
        thread.join()
