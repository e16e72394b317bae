"""Columns of keys, as other libraries have them, without a loop in Python."""

import array
import ctypes
import subprocess
import sys

import numpy as np
import pytest

import tendmap

pa = pytest.importorskip("pyarrow", reason="skipped: pyarrow is not installed here")
pd = pytest.importorskip("pandas", reason="skipped: pandas is not installed here")
pl = pytest.importorskip("polars", reason="skipped: polars is not installed here")

INTEGERS = [0, 1, -5, 2**40, -(2**63), 2**63 - 1]
SMALL = [0, 1, 7, 100]
DOUBLES = [0.0, 1.5, -2.25, 1e300]
TEXTS = ["ann", "", "bob", "Jürgen ✓", "a much longer text than those that are kept in a view"]
BLOBS = [b"raw", b"", b"\x01\xff", b"a much longer key than those that are kept in a view"]


@pytest.fixture
def routed(client):
    """Routes a column, and compares it with the same keys one by one."""

    def routed(column, keys):
        found = client.route_batch("test", "users", column)
        assert isinstance(found, np.ndarray) and found.dtype == np.uint16
        assert found.tolist() == [client.route("test", "users", key).index for key in keys]

    return routed


SIGNED = [(np.int8, SMALL), (np.int16, SMALL), (np.int32, SMALL), (np.int64, INTEGERS)]
UNSIGNED = [(kind, SMALL) for kind in (np.uint8, np.uint16, np.uint32, np.uint64)]


@pytest.mark.parametrize("kind, keys", [*SIGNED, *UNSIGNED])
def test_integers_of_every_width(routed, kind, keys):
    routed(np.array(keys, kind), keys)
    routed(np.array(keys * 2, kind)[::2], (keys * 2)[::2])
    routed(np.array(keys, np.dtype(kind).newbyteorder(">")), keys)
    routed(pa.array(keys, pa.from_numpy_dtype(kind)), keys)
    routed(pl.Series(np.array(keys, kind)), keys)
    routed(pd.Series(keys, dtype=kind), keys)
    routed(pd.Index(keys, dtype=kind), keys)


@pytest.mark.parametrize("code", "hilqHILQ")
def test_buffers_of_integers(routed, code):
    routed(array.array(code, SMALL), SMALL)
    routed(memoryview(array.array(code, SMALL)), SMALL)
    routed(memoryview(array.array(code, SMALL))[::2], SMALL[::2])


def test_bytes_as_a_buffer_say_what_they_hold(client, routed):
    packed = np.array(INTEGERS, np.int64).tobytes()
    routed(memoryview(packed).cast("q"), INTEGERS)
    for bytes_ in [memoryview(packed), array.array("B", b"ab")]:
        with pytest.raises(tendmap.ArgumentTypeError, match="cast"):
            client.route_batch("test", "users", bytes_)
    with pytest.raises(tendmap.ArgumentTypeError, match="of 2 dimensions"):
        client.route_batch("test", "users", memoryview(np.zeros((2, 2), np.int64)))


@pytest.mark.parametrize("order", "=<>")
def test_h220_a_buffer_of_either_byte_order_holds_its_keys(routed, client, order):
    """Few keys could agree by chance."""
    for code in ["i2", "i4", "i8", "u2", "u4", "u8", "f4", "f8"]:
        many = np.arange(300, dtype=order + code)
        keys = many.tolist()
        routed(memoryview(many), keys)
        routed(memoryview(many)[::3], keys[::3])
        routed(memoryview(many)[::-1], keys[::-1])


def test_h220_arrays_of_ctypes_are_columns(routed):
    for kind in (ctypes.c_int64, ctypes.c_uint16, ctypes.c_int32.__ctype_be__):
        routed((kind * 300)(*range(300)), list(range(300)))
    routed((ctypes.c_double.__ctype_be__ * 3)(0.5, 1.5, 2.5), [0.5, 1.5, 2.5])


def test_h220_indexes_are_not_written_in_another_byte_order(client):
    keys = array.array("q", [1, 2, 3])
    for out in [np.zeros(3, ">u2"), memoryview(np.zeros(3, ">u2"))]:
        with pytest.raises(tendmap.ArgumentTypeError, match="wanted a contiguous"):
            client.route_batch("test", "users", keys, out=out)


def test_h221_a_masked_element_is_no_key(routed, client):
    masked = np.ma.array([5, 6, 7, 8], mask=[False, False, True, True])
    for keys in [masked, masked.astype("U3"), masked.astype(object)]:
        with pytest.raises(tendmap.ArgumentError, match="^key 2 is null; wanted a key in each row"):
            client.route_batch("test", "users", keys)
    routed(masked[:2], [5, 6])
    routed(np.ma.array([5, 6]), [5, 6])


def test_a_view_that_was_released_is_refused(client):
    view = memoryview(array.array("q", [1]))
    view.release()
    with pytest.raises(tendmap.ArgumentError, match="^keys can't be read: .*released"):
        client.route_batch("test", "users", view)


def test_doubles_are_keys_of_their_own(routed, client):
    routed(np.array(DOUBLES), DOUBLES)
    routed(np.array([0.5, 2.0], np.float32), [0.5, 2.0])
    routed(array.array("d", DOUBLES), DOUBLES)
    routed(pa.array(DOUBLES), DOUBLES)
    routed(pl.Series(DOUBLES), DOUBLES)
    routed(pd.Series(DOUBLES), DOUBLES)
    many = client.route_batch("test", "users", np.arange(100, dtype=float)).tolist()
    assert many != client.route_batch("test", "users", np.arange(100)).tolist()


def test_texts(routed):
    routed(np.array(TEXTS), TEXTS)
    routed(np.array(TEXTS)[::2], TEXTS[::2])
    routed(np.array(TEXTS).astype(">U60"), TEXTS)
    routed(np.array([""]), [""])
    routed(np.array(TEXTS, object), TEXTS)
    routed(np.array(TEXTS, np.dtypes.StringDType()), TEXTS)
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        routed(pa.array(TEXTS, kind), TEXTS)
    routed(pa.chunked_array([TEXTS[:2], [], TEXTS[2:]]), TEXTS)
    routed(pl.Series(TEXTS), TEXTS)
    routed(pl.DataFrame({"name": TEXTS})["name"], TEXTS)
    routed(pd.Series(TEXTS), TEXTS)
    routed(pd.Series(TEXTS, dtype=object), TEXTS)
    routed(pd.Series(TEXTS, dtype="string[pyarrow]"), TEXTS)
    routed(pd.Index(TEXTS), TEXTS)


def test_bytes(routed):
    routed(np.array(BLOBS), BLOBS)
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        routed(pa.array(BLOBS, kind), BLOBS)
    routed(pa.array([b"four", b"more"], pa.binary(4)), [b"four", b"more"])
    routed(pl.Series(BLOBS), BLOBS)


INDEXES = [pa.int8(), pa.uint8(), pa.int32(), pa.uint32(), pa.int64()]


@pytest.mark.parametrize("index", INDEXES, ids=str)
@pytest.mark.parametrize(
    "values, kind",
    [
        (TEXTS, pa.string()),
        (TEXTS, pa.large_string()),
        (TEXTS, pa.string_view()),
        (BLOBS, pa.binary()),
        (INTEGERS, pa.int64()),
        (SMALL, pa.uint16()),
        (DOUBLES, pa.float64()),
    ],
    ids=lambda given: str(given) if isinstance(given, pa.DataType) else "",
)
def test_dictionaries(routed, values, kind, index):
    rows = [len(values) - 1, 0, 0, 1, 2, 1]
    keys = [values[row] for row in rows]
    made = pa.DictionaryArray.from_arrays(pa.array(rows, index), pa.array(values, kind))
    routed(made, keys)
    routed(made[2:5], keys[2:5])
    routed(pa.chunked_array([made, made[:0], made[1:]]), keys + keys[1:])


def test_categories(routed, client):
    many = TEXTS * 3
    routed(pl.Series(many, dtype=pl.Categorical), many)
    routed(pl.Series(many, dtype=pl.Enum(TEXTS)), many)
    routed(pd.Series(many, dtype="category"), many)
    routed(pd.Categorical(many), many)
    routed(pd.Series(SMALL * 2, dtype="category"), SMALL * 2)
    # Values that no row has may be null.
    values = pa.array(["a", "b", None])
    routed(pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), values), ["a", "b", "a"])
    for rows in [[0, 1, 2], [0, 1, None]]:
        with pytest.raises(tendmap.ArgumentError, match="^key 2 is null"):
            client.route_batch("test", "users", pa.DictionaryArray.from_arrays(pa.array(rows), values))
    with pytest.raises(tendmap.ArgumentTypeError, match="Dictionary.*Date32.*cast it"):
        client.route_batch("test", "users", pa.array([1], pa.date32()).dictionary_encode())


def test_many_keys_and_parts_of_a_column(routed, client):
    many = list(range(-2_000, 2_000))
    routed(pa.chunked_array([many[:7], many[7:]]), many)
    routed(pa.array(many)[11:-3], many[11:-3])
    routed(pa.array(map(str, many))[11:-3], list(map(str, many))[11:-3])
    routed(pl.Series(many)[5:], many[5:])
    for empty in [pa.array([], pa.int64()), pa.array([]), pl.Series([], dtype=pl.String), array.array("q")]:
        assert client.route_batch("test", "users", empty).tolist() == []


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, None]),
        pa.chunked_array([[1, 2], [None, 3]]),
        pa.chunked_array([["a", "b"], [None, "c"]]),
        pa.array([1.5, 2.5, None]),
        pl.Series([1, 2, None]),
        pl.Series(["a", "b", None]),
        pd.Series([1, 2, None]),
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series(["a", "b", None]),
        pd.Series(["a", "b", None], dtype=object),
        np.array(["a", "b", None], object),
        np.array([1, 2, float("nan")], object),
        np.array([1, 2, pd.NA], object),
        np.array(["a", "b", None], np.dtypes.StringDType(na_object=None)),
    ],
    ids=lambda column: f"{type(column).__module__}-{getattr(column, 'dtype', getattr(column, 'type', ''))}",
)
def test_a_null_is_named_with_its_index(client, column):
    with pytest.raises(tendmap.ArgumentError, match="^key 2 is null; wanted a key in each row"):
        client.route_batch("test", "users", column)


def test_what_fits_no_key_is_named_with_its_index(client):
    for column in [np.array([1, 2**63], np.uint64), pa.array([1, 2**63], pa.uint64())]:
        with pytest.raises(tendmap.ArgumentRangeError, match="^key 1 is 9223372036854775808"):
            client.route_batch("test", "users", column)
    with pytest.raises(tendmap.TextError, match="^key 1 has 0xd800"):
        client.route_batch("test", "users", np.array(["a", "\ud800"]))
    for column in [
        np.array([True]),
        np.array([1j]),
        np.array(["2026-01-01"], "datetime64[D]"),
        pa.array([True]),
        pa.array([[1]]),
        pl.Series([True]),
        pl.DataFrame({"a": [1]}),
        pa.table({"a": [1]}),
        array.array("b", [1]),
    ]:
        with pytest.raises(tendmap.ArgumentTypeError, match="wanted"):
            client.route_batch("test", "users", column)


def test_a_foreign_object_that_exports_nonsense_is_refused(client):
    class Wrong:
        def __arrow_c_array__(self, requested_schema=None):
            return 1, 2

    class Raises:
        def __arrow_c_stream__(self, requested_schema=None):
            raise RuntimeError("the application's own")

    with pytest.raises(tendmap.ArgumentTypeError, match="can't be read as an Arrow array"):
        client.route_batch("test", "users", Wrong())
    with pytest.raises(RuntimeError, match="own"):
        client.route_batch("test", "users", Raises())


def test_what_was_read_before_is_refused(client):
    class Again:
        """Exports the same capsules each time."""

        def __init__(self, array=None, stream=None):
            if array is not None:
                self.capsules = array.__arrow_c_array__()
                type(self).__arrow_c_array__ = lambda self, requested_schema=None: self.capsules
            else:
                self.capsules = stream.__arrow_c_stream__()
                type(self).__arrow_c_stream__ = lambda self, requested_schema=None: self.capsules

    again = Again(array=pa.array([1, 2]))
    assert len(client.route_batch("test", "users", again)) == 2
    with pytest.raises(tendmap.ArgumentTypeError, match="as an Arrow array: it was read before"):
        client.route_batch("test", "users", again)
    del Again.__arrow_c_array__
    again = Again(stream=pa.chunked_array([[1], [2]]))
    assert len(client.route_batch("test", "users", again)) == 2
    with pytest.raises(tendmap.ArgumentTypeError, match="as an Arrow array: it was read before"):
        client.route_batch("test", "users", again)


WORDS = pa.array(["a", "b"])
EMPTY = [
    *(pa.array(["a", "b"], kind)[1:1] for kind in (pa.string(), pa.large_string(), pa.binary(), pa.string_view())),
    pa.array([1, 2])[1:1],
    pa.array(["a", "b"]).dictionary_encode()[1:1],
    pa.DictionaryArray.from_arrays(pa.array([], pa.int8()), pa.array(["a", "b"])[1:1]),
    pa.chunked_array([WORDS[1:1], WORDS, WORDS[2:]])[2:],
    pl.Series(["a", "b"])[1:1],
    pl.Series(["a", "b"], dtype=pl.Categorical)[1:1],
]


@pytest.mark.parametrize("column", EMPTY, ids=lambda column: type(column).__name__)
def test_empty_parts_of_columns_have_no_keys(routed, column):
    routed(column, [])


def made_of(kind, *buffers):
    """An array of two elements, of buffers that nobody has checked."""
    given = [pa.py_buffer(buffer) for buffer in buffers]
    return pa.Array.from_buffers(kind, 2, [None, *given])


ENDS = np.array([0, 5, 2], np.int32)
WIDE = ENDS.astype(np.int64)
INVALID = [
    *(made_of(kind, ENDS, b"abcde") for kind in (pa.string(), pa.binary())),
    *(made_of(kind, WIDE, b"abcde") for kind in (pa.large_string(), pa.large_binary())),
    # Views of 50 bytes at the place 7 of the first buffer.
    *(made_of(kind, np.array([50, 0, 0, 7] * 2, np.int32), bytes(20)) for kind in (pa.string_view(), pa.binary_view())),
    pa.array([b"a", b"\xff"]).view(pa.string()),
    pa.chunked_array([WORDS, pa.array([b"\xff"]).view(pa.string())]),
    pa.DictionaryArray.from_arrays(pa.array([0, 2], pa.int8()), WORDS, safe=False),
    pa.DictionaryArray.from_arrays(pa.array([0, -1], pa.int8()), pa.array([7, 8]), safe=False),
    pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), WORDS[:0], safe=False),
]


@pytest.mark.parametrize("column", INVALID, ids=lambda column: str(column.type))
def test_h225_an_array_whose_values_are_not_in_it_is_refused(client, column):
    with pytest.raises(tendmap.ArgumentTypeError, match="can't be read as an Arrow array: "):
        client.route_batch("test", "users", column)


def test_arrow_types_that_are_no_keys_say_so(client):
    for column in [pl.Series([1], dtype=pl.Int128), pl.Series([None])]:
        with pytest.raises(tendmap.ArgumentTypeError, match="Series can't be read as an Arrow array: .*ata"):
            client.route_batch("test", "users", column)


def test_nothing_is_read_of_a_stream_of_another_type(client):
    def batches():
        yield pa.record_batch({"a": [1]})
        raise RuntimeError("lost the source")

    reader = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches())
    with pytest.raises(tendmap.ArgumentTypeError, match="Struct"):
        client.route_batch("test", "users", reader)
    assert reader.read_next_batch().num_rows == 1, "nothing was read"


def test_results_go_into_any_writable_buffer(client):
    wanted = client.route_batch("test", "users", np.arange(300)).tolist()
    out = array.array("H", [0] * 300)
    assert client.route_batch("test", "users", pa.array(range(300)), out=out) is out
    assert out.tolist() == wanted
    out = np.zeros(300, np.uint16)
    assert client.route_batch("test", "users", pl.Series(range(300)), out=out) is out
    assert out.tolist() == wanted
    with pytest.raises(tendmap.ArgumentError, match="out of 299 indexes for 300 keys"):
        client.route_batch("test", "users", pa.array(range(300)), out=array.array("H", [0] * 299))
    for wrong in [array.array("h", [0] * 300), bytes(600), memoryview(bytes(600)).cast("H")]:
        with pytest.raises(tendmap.ArgumentTypeError, match="wanted a contiguous"):
            client.route_batch("test", "users", pa.array(range(300)), out=wrong)


def test_without_numpy_the_result_is_an_array(cluster, client, directory):
    program = f"""
import sys
sys.modules["numpy"] = None
import array, tendmap
with tendmap.Reader(shm_directory={directory!r}) as reader:
    found = reader.route_batch("test", "users", array.array("q", range(300)))
assert type(found) is array.array and found.typecode == "H"
print(found.tolist())
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said == f"{client.route_batch('test', 'users', np.arange(300)).tolist()}\n"
