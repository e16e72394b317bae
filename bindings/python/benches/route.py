"""The cost of routing from Python, beside its lower bounds in the same run.

    python benches/route.py [--json]

One key: an empty method of the same extension, the digest alone (in Rust), and
`Client.route`. Many: a NumPy array of a million keys, and the same batch in
Rust; the same from Arrow. A reader, and its attach. Beside them, if the package
`aerospike` is installed: the partition of a key by the official client, which has no call
for the node. Rounds are interleaved and timed by the thread's own processor time, so
that other processes of a busy machine matter little; medians are shown.
"""

import json
import statistics
import sys
import tempfile
import time
import timeit

import numpy as np

import tendmap
from tendmap import _tendmap

try:
    import pyarrow
except ImportError:
    pyarrow = None
try:
    import aerospike
except ImportError:
    aerospike = None

ROUNDS, CALLS, KEYS = 101, 2_000, 1_000_000


def per_call(code, names):
    """Nanoseconds of one call of `code`, without the loop around it."""
    timed = lambda code: timeit.timeit(code, timer=time.thread_time, globals=names, number=CALLS)
    return (timed(code) - timed("pass")) / CALLS * 1e9


def each(call, count):
    """Nanoseconds of each of `count` things that one call does."""
    return timeit.timeit(call, timer=time.thread_time, number=1) / count * 1e9


def main():
    with (
        tendmap.SimulatedCluster(3) as cluster,
        tempfile.TemporaryDirectory(dir="/dev/shm") as directory,
        tendmap.Client(cluster.hosts, shm_directory=directory) as client,
    ):
        empty = _tendmap._Empty()
        reader = tendmap.Reader(shm_directory=directory)
        names = {"nothing": empty.nothing, "empty": empty.route, "route": client.route}
        names["reader"], names["attach"] = reader.route, lambda: tendmap.Reader(shm_directory=directory).close()
        calls = {
            "empty_ns": "nothing()",
            "empty_with_arguments_ns": "empty('test', 'users', 123456)",
            "route_ns": "route('test', 'users', 123456)",
            "route_text_ns": "route('test', 'users', 'user-123456')",
            "reader_route_ns": "reader('test', 'users', 123456)",
        }
        if aerospike is not None:
            host, port = cluster.hosts[0].rsplit(":", 1)
            official = aerospike.Client({"hosts": [(host, int(port))]})
            names["digest"], names["partition"] = aerospike.calc_digest, official.get_key_partition_id
            calls["official_digest_ns"] = "digest('test', 'users', 123456)"
            calls["official_partition_ns"] = "partition('test', 'users', 123456)"
        found = {name: [] for name in calls}
        found["digest_ns"] = []
        for _ in range(ROUNDS):
            for name, code in calls.items():
                found[name].append(per_call(code, names))
            found["digest_ns"].append(each(lambda: _tendmap._digests("users", CALLS), CALLS))
        keys = np.arange(KEYS, dtype=np.int64)
        out = np.empty(KEYS, dtype=np.uint16)
        found["batch_key_ns"], found["batch_key_in_rust_ns"] = [], []
        found["batch_arrow_key_ns"], found["batch_arrow_text_ns"], found["attach_us"] = [], [], []
        arrow = pyarrow and pyarrow.array(keys)
        texts = pyarrow and pyarrow.array([f"user-{key}" for key in range(KEYS // 10)])
        python = lambda: client.route_batch("test", "users", keys, out=out)
        rust = lambda: _tendmap._batch(client, "test", "users", keys)
        for _ in range(ROUNDS // 3):
            found["batch_key_ns"].append(each(python, KEYS))
            found["batch_key_in_rust_ns"].append(each(rust, KEYS))
            found["attach_us"].append(each(lambda: [names["attach"]() for _ in range(20)], 20) / 1e3)
            if pyarrow is not None:
                routed = lambda: client.route_batch("test", "users", arrow, out=out)
                found["batch_arrow_key_ns"].append(each(routed, KEYS))
                routed = lambda: client.route_batch("test", "users", texts)
                found["batch_arrow_text_ns"].append(each(routed, KEYS // 10))
        reader.close()
    medians = {name: round(statistics.median(values), 2) for name, values in found.items() if values}
    empty = medians["empty_with_arguments_ns"]
    medians["calls_beside_the_digest"] = round((medians["route_ns"] - medians["digest_ns"]) / empty, 2)
    medians["empty_calls_beside_the_digest"] = round(
        (medians["route_ns"] - medians["digest_ns"]) / medians["empty_ns"], 2
    )
    medians["batch_of_rust"] = round(
        medians["batch_key_in_rust_ns"] / medians["batch_key_ns"], 3
    )
    if "--json" in sys.argv:
        print(json.dumps(medians))
    else:
        for name, value in medians.items():
            print(f"{name:<30} {value:>8}")


if __name__ == "__main__":
    main()
