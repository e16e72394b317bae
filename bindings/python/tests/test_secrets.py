"""The number of copies of a password, its hash and a token in a Python process."""

import copy
import pickle
import secrets
import socket
import struct
import subprocess
import sys
import threading

import pytest

import tendmap

TOKEN = b"a-t0ken-" + secrets.token_hex(12).encode()

PROGRAM = """
import sys, tendmap
hosts, directory, mode = sys.argv[1:]
# The program's own text, which exists as long as the program keeps it.
password = sys.stdin.readline().strip()
print("read", flush=True)
sys.stdin.readline()
client = tendmap.Client(hosts, shm_directory=directory, shm_key=0xA7005EC2, tend_interval=0.05,
                        user="keeper", password=password, auth_mode=mode)
print("connected", flush=True)
sys.stdin.readline()
client.close()
print("closed", flush=True)
sys.stdin.readline()
"""


class Server:
    """A single node that accepts every login."""

    def __init__(self):
        self.logins = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.hosts = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        def read(count):
            data = b""
            while len(data) < count:
                part = connection.recv(count - len(data))
                if not part:
                    raise EOFError
                data += part
            return data

        known = {
            "node": "A1", "build": "8.1.2.0", "cluster-name": "lab", "partition-generation": "1",
            "peers-generation": "1", "rebalance-generation": "1", "peers-clear-std": "1,3000,[]",
            "service-clear-std": self.hosts, "replicas": "test:0,1," + "/" * 682 + "8=",
        }
        try:
            while True:
                header = struct.unpack(">Q", read(8))[0]
                body, kind = read(header & 0xFFFFFFFFFFFF), header >> 48 & 255
                if kind == 2:
                    if body[2] == 20:
                        self.logins.append(body)
                    fields = [(5, TOKEN), (6, struct.pack(">I", 3600))]
                    reply = bytes([0, 0, 0, 2]) + bytes(12)
                    reply += b"".join(struct.pack(">IB", len(d) + 1, i) + d for i, d in fields)
                else:
                    commands = body.decode().splitlines()
                    answers = (f"{c}\t{known.get(c, 'ERROR:4:unrecognized command')}\n" for c in commands)
                    reply = "".join(answers).encode()
                connection.sendall(struct.pack(">Q", 2 << 56 | kind << 48 | len(reply)) + reply)
        except (EOFError, OSError):
            pass

    def hash(self):
        """The credential in the login."""
        at = self.logins[0].index(b"$2a$10$")
        return self.logins[0][at : at + 60]


def copies(pid, wanted):
    """The number of copies of each text, in memory and in a core dump."""
    found = {text: [0, 0] for text in wanted}
    with open(f"/proc/{pid}/smaps") as smaps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        region = b""
        for line in smaps:
            first = line.split()[0]
            if first == "VmFlags:":
                for text, counts in found.items():
                    count = region.count(text)
                    counts[0] += count
                    counts[1] += 0 if "dd" in line.split() else count
            elif not first.endswith(":"):
                start, end = (int(part, 16) for part in first.split("-"))
                region = b""
                if line.split()[1].startswith("r"):
                    try:
                        memory.seek(start)
                        region = memory.read(end - start)
                    except (OSError, OverflowError, ValueError):
                        pass
    return [tuple(found[text]) for text in wanted]


@pytest.mark.parametrize("mode", ["INTERNAL", "EXTERNAL_INSECURE"])
def test_h122_a_python_process_has_no_copy_but_its_own_texts(directory, mode):
    server, password = Server(), "0pen-sesame-" + secrets.token_hex(8)
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, server.hosts, directory, mode],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )
    try:
        def step(line, wanted):
            child.stdin.write(line + "\n")
            child.stdin.flush()
            assert child.stdout.readline() == wanted + "\n"

        step(password, "read")
        [(own, _)] = copies(child.pid, [password.encode()])
        assert own > 0
        step("go on", "connected")
        texts = [password.encode(), server.hash(), TOKEN]
        (all_of_it, dumped), hash_, token = copies(child.pid, texts)
        assert dumped <= own, "only the program's own copies"
        assert all_of_it - dumped == 1
        assert (hash_, token) == ((1, 0), (1, 0))
        step("close", "closed")
        (all_of_it, dumped), hash_, token = copies(child.pid, texts)
        assert all_of_it == dumped <= own
        assert (hash_, token) == ((0, 0), (0, 0))
    finally:
        child.kill()
        child.wait()
        server.socket.close()


def test_h122_a_client_with_a_password_is_neither_pickled_nor_copied(cluster, settings):
    client = tendmap.Client("127.0.0.1:1", lazy=True, user="u", password="s3cret", **settings)
    for make in [pickle.dumps, copy.copy, copy.deepcopy]:
        with pytest.raises(tendmap.ArgumentTypeError, match="neither pickled nor copied") as raised:
            make(client)
        assert isinstance(raised.value, TypeError) and "s3cret" not in str(raised.value)
    # The same for a client that got its password later.
    with tendmap.Client(cluster.hosts, user="u", **settings) as client:
        client.set_password("s3cret")
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            pickle.dumps(client)
