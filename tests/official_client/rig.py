"""What the scenarios are made of: a simulated cluster, tendmap, and processes with
official clients."""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time

NAMESPACE, SET = "test", "demo"
PARTITIONS = 4096
PATIENCE = 60  # seconds for anything to happen


class Failure(Exception):
    """Something did not agree."""


def want(so, what):
    if not so:
        raise Failure(what)


def until(what, so, patience=PATIENCE):
    """Waits until it is so; what `so` returned, and how long it took."""
    begun = time.monotonic()
    while not (found := so()):
        want(time.monotonic() < begun + patience, f"{what}: not within {patience} s")
        time.sleep(0.05)
    return found


class Lines:
    """A process that takes lines and answers lines, which may never come."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def send(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"{self.process.args[0]} ended: {self.process.wait()}") from None

    def receive(self, patience=PATIENCE):
        try:
            line = self.lines.get(timeout=patience)
        except queue.Empty:
            raise Failure(f"{self.process.args}: no answer within {patience} s") from None
        if line is None:
            self.lines.put(None)
            raise Failure(f"{self.process.args[0]} ended: {self.process.wait(PATIENCE)}")
        return json.loads(line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self, patience=PATIENCE):
        """Ends its input, and waits for its end; kills it if that does not come."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


class Cluster(Lines):
    """A simulated cluster."""

    def __init__(self, command):
        super().__init__(command)
        self.racks = []  # what was told: node, namespace, rack; the last one counts
        self.hosts = self.receive()["seeds"]
        self.seeds = [
            (host.strip("[]"), int(port)) for host, port in (s.rsplit(":", 1) for s in self.hosts)
        ]

    def tell(self, line):
        self.racks += [line.split()[1:]] if line.startswith("rack ") else []
        self.send(line)
        answer = self.receive()
        want(answer.get("ok"), f"{line}: {answer.get('error')}")
        return answer

    def nodes(self):
        return self.tell("status")["nodes"]

    def name(self, number):
        return next(node["node"] for node in self.nodes() if node["number"] == number)

    def running(self):
        return {node["node"] for node in self.nodes() if node["state"] == "running"}

    def owners(self, namespace=NAMESPACE):
        """The holders of each partition, the master first."""
        return self.tell(f"owners {namespace}")["partitions"]

    def masters(self):
        return [row[0] for row in self.owners()]

    def commands(self):
        """The record commands that arrived since the last call."""
        return self.tell("commands")["commands"]

    def tend_requests(self):
        """Info requests that asked for something: not those that only name the client,
        which a client of C 7.5 and later sends to each node once."""
        return sum(node["info_requests"] - node["user_agents"] for node in self.nodes())

    def settle(self):
        want(self.tell("settle")["settled"], "the simulated cluster does not come to rest")


class Tender:
    """`tendmap tend`, and the commands that read its segment."""

    def __init__(self, path, seeds, *access, directory=None, **options):
        self.path = path
        self.own = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="tendmap-check-", dir="/dev/shm")
        self.place = ["--json", "--shm-directory", self.directory]
        self.command = [path, "tend", *self.place, *(f"--host={seed}" for seed in seeds), *access]
        self.options = options
        self.start()

    def start(self):
        self.events, self.errors = [], []
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **self.options,
        )
        self.listeners = [
            threading.Thread(target=listen, args=(stream, into), daemon=True)
            for stream, into in ((self.process.stdout, self.events), (self.process.stderr, self.errors))
        ]
        for listener in self.listeners:
            listener.start()

    def told(self):
        return "".join(self.events + self.errors)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def close(self):
        """A clean end; what it leaves behind is a failure."""
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        want(status == 0, f"tendmap tend did not end well: {status}, {self.told()}")
        if self.own:
            left = os.listdir(self.directory)
            want(not left, f"tendmap left {left} behind")
            os.rmdir(self.directory)

    def run(self, *arguments):
        result = subprocess.run(
            [self.path, *arguments, *self.place], capture_output=True, text=True, timeout=PATIENCE
        )
        want(result.returncode == 0, f"{result.args} failed: {result.stderr.strip()}")
        return json.loads(result.stdout)

    def running(self):
        try:
            return {node["node"] for node in self.run("map")["nodes"]}
        except Failure:
            return set()  # nothing has been published yet

    def owners(self, namespace=NAMESPACE):
        namespaces = self.run("map")["namespaces"]
        want(namespace in namespaces, f"tendmap knows only {sorted(namespaces)}")
        rows = namespaces[namespace]["partitions"]
        want(len(rows) == PARTITIONS, f"tendmap's map has {len(rows)} partitions")
        return rows

    def masters(self):
        return [row[0] for row in self.owners()]

    def route(self, key):
        option = {int: "--int", str: "--str"}.get(type(key), "--hex")
        text = key.hex() if option == "--hex" else str(key)
        # With a "=": a key may be negative.
        return self.run("route", "--namespace", NAMESPACE, "--set", SET, f"{option}={text}")


def listen(stream, into):
    for line in stream:
        into.append(line)


class Aborted(Failure):
    """A process was ended by a fault of its client.

    C clients with layout E do not read a node's version from shared memory, and look
    at what happens to lie on their stack instead. If that looks like a server of 8.1,
    a follower sends that node a message without having a socket. In the Node.js
    client, which is built with _FORTIFY_SOURCE, that aborts the process. It happens at
    random when such a follower attaches, no matter who tends.
    """


class Worker(Lines):
    """A process with an official client (worker.py, worker.js)."""

    def __init__(self, client, at, inside=(), **options):
        self.client = client
        environment = {**os.environ}
        if client.name.startswith("node"):
            environment["AEROSPIKE_MODULE"] = os.path.join(at, client.folder, "node_modules", "aerospike")
        super().__init__([*inside, *client.program(at)], env=environment, **options)

    def request(self, op, **fields):
        self.send(json.dumps({"op": op, **fields}))

    def answer(self, patience=PATIENCE):
        try:
            answer = self.receive(patience)
        except Failure as failure:
            if self.process.poll() == -signal.SIGABRT and self.client.name.startswith("node"):
                raise Aborted(f"{self.client.name} aborted") from failure
            raise
        want("error" not in answer, f"{self.client.name}: {answer.get('error')}")
        return answer

    def ask(self, op, patience=PATIENCE, **fields):
        self.request(op, **fields)
        return self.answer(patience)

    def pid(self):
        return self.process.pid


def ask_all(workers, op, patience=PATIENCE, **fields):
    """All of them at the same time."""
    for worker in workers:
        worker.request(op, **fields)
    return [worker.answer(patience) for worker in workers]


def certificates(folder, name):
    """An authority, and a certificate of it for the nodes: made here."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    openssl("req", *new, "-keyout", "node.key", "-out", "node.csr", "-subj", f"/CN={name}")
    with open(os.path.join(folder, "names"), "w") as names:
        names.write(f"subjectAltName=DNS:{name}")
    openssl("x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "node.pem", "-extfile", "names")
    return {name: os.path.join(folder, name) for name in ("ca.pem", "node.pem", "node.key")}
