"""A process with an official Python client, driven by lines of JSON.

Each line of standard input is a request, answered by a line of standard output. It
ends with its input. Requests:

    {"op": "connect", "config": {…}}            -> {"seconds": …}
    {"op": "round", "namespace": …, "salt": …, "count": …, "kinds": […], "read": {…}}
        (a kind "batches" reads all keys with one command)
        -> {"sent": [[digest, kind, type of key], …], "failed": [[digest, kind, text], …]}
    {"op": "become", "uid": …}                  -> {}
    {"op": "nodes"}                             -> {"nodes": [name, …]}
    {"op": "close"}                             -> {}
"""

import json
import os
import signal
import sys
import time
import warnings

warnings.simplefilter("ignore")  # of a deprecated operation

import aerospike  # noqa: E402
from aerospike import exception  # noqa: E402

SET = "demo"
WRITES = ("put", "touch", "increment", "append", "operate", "apply", "remove")


def keys_of_every_type(salt, count):
    """All the types that the client takes as a key."""
    for n in range(count):
        number = int.from_bytes(f"{salt}{n}".encode()[-7:], "little")
        yield "int", number if n % 2 else -number
        yield "str", f"{salt} {n} " + "äöü"[n % 3] * (n % 7)
        yield "bytes", f"{n} {salt}".encode() + b"z" * (n % 9)
        yield "bytearray", bytearray(f"{n}{salt}".encode() + bytes(range(1 + n % 40)))


class Client:
    def __init__(self, config):
        shm = config.get("shm")
        policies = config.setdefault("policies", {})
        # Kinds of commands are tried once: a retry would hide what went wrong.
        for kind in ("read", "write", "operate", "remove", "batch", "apply"):
            policies.setdefault(kind, {}).update({"max_retries": 0, "total_timeout": 2000})
        config["hosts"] = [tuple(host) for host in config["hosts"]]
        assert shm is None or "shm_key" in shm
        begun = time.monotonic()
        self.client = aerospike.client(config)
        if not self.client.is_connected():
            self.client.connect()
        self.seconds = time.monotonic() - begun

    def run(self, kind, key, read):
        client = self.client
        if kind == "put":
            client.put(key, {"a": 1, "s": "x"})
        elif kind == "get":
            client.get(key, read)
        elif kind == "exists":
            client.exists(key, read)
        elif kind == "select":
            client.select(key, ["a"], read)
        elif kind == "touch":
            client.touch(key, 0)
        elif kind == "increment":
            client.increment(key, "a", 1)
        elif kind == "append":
            client.append(key, "s", "x")
        elif kind == "operate":
            client.operate(key, [
                {"op": aerospike.OPERATOR_WRITE, "bin": "b", "val": 2},
                {"op": aerospike.OPERATOR_READ, "bin": "a"},
            ])
        elif kind == "batch":
            self.batch([key])
        elif kind == "apply":
            try:
                client.apply(key, "module", "function", [])
            except exception.ClientError as error:
                # The simulated cluster runs no functions: its reply has no result.
                if "SUCCESS or FAILURE bin" not in str(error):
                    raise
        elif kind == "remove":
            client.remove(key)
        else:
            raise ValueError(f"no such kind of commands: {kind}")

    def batch(self, keys):
        """Reads them; older clients have another name for it."""
        (getattr(self.client, "batch_read", None) or self.client.get_many)(keys)

    def round(self, namespace, salt, count, kinds, read=None):
        sent, failed, everything = [], [], []
        for of, value in keys_of_every_type(salt, count):
            key = (namespace, SET, value)
            # calc_digest takes no bytes; the commands take them for a text.
            same = value.decode() if of == "bytes" else value
            digest = bytes(aerospike.calc_digest(namespace, SET, same)).hex()
            everything.append((digest, of, key))
            for kind in (kind for kind in kinds if kind != "batches"):
                try:
                    self.run(kind, key, read or {})
                except exception.RecordNotFound:
                    pass  # it reached a node
                except exception.AerospikeError as error:
                    failed.append([digest, kind, f"{type(error).__name__} {error}"])
                    continue
                sent.append([digest, kind, of])
        if "batches" in kinds:
            try:
                self.batch([key for *_, key in everything])
                sent += [[digest, "batches", of] for digest, of, _ in everything]
            except exception.AerospikeError as error:
                failed += [[digest, "batches", f"{type(error).__name__} {error}"] for digest, *_ in everything]
        return {"sent": sent, "failed": failed}


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The client writes warnings to standard output.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    client = None
    for line in sys.stdin:
        request = json.loads(line)
        op = request.pop("op")
        try:
            if op == "connect":
                client = Client(request["config"])
                answer = {"seconds": client.seconds}
            elif op == "round":
                answer = client.round(**request)
            elif op == "become":
                os.setgid(request["uid"])
                os.setuid(request["uid"])
                answer = {}
            elif op == "nodes":
                answer = {"nodes": [node["node_name"] for node in client.client.get_node_names()]}
            elif op == "close":
                client.client.close()
                client, answer = None, {}
            else:
                raise ValueError(f"no such request: {op}")
        except (exception.AerospikeError, ValueError) as error:
            answer = {"error": f"{type(error).__name__} {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
