"""A host on trial: a cluster, a tender or none, and clients that share memory."""

import itertools
import os
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field

import shm
from clients import CLIENTS, NEWEST
from rig import NAMESPACE, PATIENCE, Aborted, Cluster, Failure, Tender, Worker, ask_all, until, want

EVERY_KIND = ["put", "get", "exists", "select", "touch", "increment", "append", "operate", "batch",
              "apply", "remove", "batches"]
SOME_KINDS = ["put", "get", "exists", "operate", "remove"]
TEND = 1.0  # seconds between two tends of an official client
NEVER = 12  # seconds after which official clients count as not following
HOSTS = itertools.count(1)
LOCK = threading.Lock()


@dataclass
class Tally:
    """Where commands came to."""

    right: int = 0  # at the first holder
    replica: int = 0  # at another holder
    wrong: int = 0  # at a node that has nothing of the partition
    failed: int = 0  # the client reported an error
    errors: set = field(default_factory=set)

    @property
    def sent(self):
        return self.right + self.replica + self.wrong + self.failed

    @property
    def clean(self):
        return 0 < self.right == self.sent

    def held(self):
        """Each came to a holder."""
        return self.wrong == self.failed == 0 < self.sent

    def __str__(self):
        parts = [f"{self.wrong} wrong", self.failed and f"{self.failed} failed",
                 self.replica and f"{self.replica} at another replica"]
        return f"{', '.join(part for part in parts if part)} of {self.sent}"


class Host:
    """Keys, ports and folders of its own; closes all that it started."""

    def __init__(self, bench, mirror):
        self.bench, self.mirror = bench, mirror
        with LOCK:
            self.base = 0x7E000000 + (next(HOSTS) << 8)
        self.cluster, self.access, self.config = None, [], {}
        self.seeds, self.addresses = [], []
        self.clients, self.tenders, self.others = [NEWEST], [], []
        # Those that send commands, and all that ever ran.
        self.workers, self.started = [], []
        self.folder = tempfile.mkdtemp(prefix="tendmap-official-", dir="/dev/shm")
        # What clients say beside their answers; shown if something fails.
        self.log = os.path.join(self.folder, "clients.log")
        self.salt, self.last = 0, []
        self.aborted = 0  # processes that a known fault of their client ended

    # What is started.

    def begin(self, nodes=3, sim=(), clients=(NEWEST,), tend=(), access=(), config=None, tls=None, console=(), tender=True):
        """A cluster, and a tender if this host has one."""
        self.clients, self.access, self.config = list(clients), list(access), config or {}
        self.cluster = Cluster([self.bench.tendmap, "sim", "--nodes", str(nodes), *sim])
        for line in console:
            self.cluster.tell(line)
        self.seeds, self.addresses = self.cluster.seeds, self.cluster.hosts
        if tls:
            self.seeds = [(host, port + 1000, tls) for host, port in self.seeds]
            self.addresses = [f"{host}:{name}:{port}" for host, port, name in self.seeds]
        if self.mirror and tender:
            self.tend(*tend)

    def key(self, client=None):
        return self.base + list(CLIENTS).index(client or self.clients[0])

    def segment(self, client=None):
        client = client or self.clients[0]
        return shm.Segment(self.key(client), CLIENTS[client].layout)

    def tend(self, *more, wait=True):
        """One more `tendmap tend`; the first one fills the segments."""
        pairs = [f"--c-client={self.key(client):#x}:{client}" for client in self.clients]
        directory = os.path.join(self.folder, "tendmap")
        os.makedirs(directory, exist_ok=True)
        tender = Tender(self.bench.tendmap, self.addresses, *self.access, *pairs, *more, directory=directory)
        self.tenders.append(tender)
        if wait:
            self.filled()
        return tender

    def filled(self):
        def so():
            tender = self.tenders[-1]
            status = tender.process.poll()
            want(status is None, f"tendmap tend ended with {status}: {tender.told()}")
            # Not before it has its own map: some scenarios stop it then.
            return "connected" in tender.told() and all(
                self.segment(client).exists() and self.segment(client).header()["ready"] == 1
                and self.segment(client).header()["lock"] == 1 for client in self.clients
            )
        until("the segments of the C client to be filled", so)

    def worker(self, client=None, connect=True, shared=None, inside=(), uid=None, **config):
        """A process with an official client."""
        client = client or self.clients[0]
        worker = self.start(client, inside)
        if uid is not None:
            worker.ask("become", uid=uid)
        worker.config = {
            "hosts": self.seeds, "tend_interval": int(TEND * 1000),
            "shm": {"shm_key": self.key(client), **(shared or {})}, **self.config, **config,
        }
        if connect:
            worker.request("connect", config=worker.config)
            worker = self.connected(worker)
        return worker

    def start(self, client, inside=()):
        with open(self.log, "a") as log:
            worker = Worker(CLIENTS[client], self.bench.at, inside=inside, stderr=log)
        self.workers.append(worker)
        self.started.append(worker)
        return worker

    def connected(self, worker):
        """The worker once it has attached; another one if it aborts as it is known to."""
        for _ in range(20):
            try:
                worker.seconds = worker.answer()["seconds"]
                return worker
            except Aborted:
                self.aborted += 1
                self.workers.remove(worker)
                config, worker = worker.config, self.start(worker.client.name)
                worker.config = config
                worker.request("connect", config=config)
        raise Failure(f"{worker.client.name}: 20 processes aborted when they attached")

    def crowd(self, count, client=None, **config):
        """Workers that connect at the same time."""
        workers = [self.worker(client, connect=False, **config) for _ in range(count)]
        for worker in workers:
            worker.request("connect", config=worker.config)
        return [self.connected(worker) for worker in workers]

    def close(self):
        for worker in self.started:
            if worker.process.poll() is None:
                worker.kill()
        for tender in self.tenders:
            if tender.process.poll() is None:
                tender.signal(signal.SIGCONT)
                tender.kill()
        for cluster in filter(None, [self.cluster, *self.others]):
            cluster.close()
        for client in CLIENTS:
            shm.remove(self.key(client))
        shutil.rmtree(self.folder, ignore_errors=True)

    # What is judged.

    def noise(self, lines=5):
        """The last lines of what clients and tenders said."""
        said = [line for tender in self.tenders for line in (tender.events + tender.errors)[-lines:]]
        if os.path.exists(self.log):
            with open(self.log, errors="replace") as log:
                said += log.readlines()[-lines:]
        return "".join(said).strip()

    def demand(self, so, what):
        """What must be so with tendmap; of the official mode it is only shown."""
        want(so or not self.mirror, what)

    def round(self, workers=None, kinds=SOME_KINDS, count=4, namespace=NAMESPACE, read=None, patience=PATIENCE):
        """Each worker sends commands of those kinds for keys of every type."""
        workers = workers or self.workers
        self.cluster.commands()  # forget what came before
        answers = []
        for worker in workers:
            self.salt += 1
            worker.request("round", namespace=namespace, salt=f"k{self.salt}", count=count, kinds=kinds, read=read)
        answers = [worker.answer(patience) for worker in workers]
        rows, tally, arrived = self.cluster.owners(namespace), Tally(), {}
        self.last = self.cluster.commands()
        for command in self.last:
            digest, node = command["digest"], command["node"]
            partition = int.from_bytes(bytes.fromhex(digest)[:2], "little") % len(rows)
            want(command["partition"] == partition, f"{digest}: partition {command['partition']}")
            arrived[digest] = arrived.get(digest, 0) + 1
            if node == rows[partition][0]:
                tally.right += 1
            elif node in rows[partition]:
                tally.replica += 1
            else:
                tally.wrong += 1
        for answer in answers:
            tally.failed += len(answer["failed"])
            tally.errors.update(text for *_, text in answer["failed"])
            sent = {}
            for digest, *_ in answer["sent"]:
                sent[digest] = sent.get(digest, 0) + 1
            for digest, commands in sent.items():
                want(arrived.get(digest, 0) >= commands,
                     f"{commands} commands on {digest} succeeded, {arrived.get(digest, 0)} arrived")
        return tally

    def agree(self, namespace=NAMESPACE):
        """tendmap's map, the cluster's own account and the segments agree."""
        if self.tenders and self.tenders[-1].process.poll() is None:
            # It may be a pass behind.
            until("tendmap's map to be what the cluster says",
                  lambda: self.tenders[-1].owners(namespace) == self.cluster.owners(namespace))

    def follow(self, workers=None, good=lambda tally: tally.clean, never=NEVER, **round):
        """Until a whole round is right; how long that took, in words too."""
        begun, tally = time.monotonic(), None
        while time.monotonic() < begun + (PATIENCE if self.mirror else never):
            tally = self.round(workers, **round)
            # Twice: the few keys of one round may miss what a client does not know yet.
            if good(tally) and good(tally := self.round(workers, **round)):
                seconds = time.monotonic() - begun
                again = self.round(workers, **round)
                self.demand(good(again), f"right, and then not any more: {again}, {sorted(again.errors)[:3]}")
                self.agree(round.get("namespace", NAMESPACE))
                return Seen(f"all right after {seconds:.1f} s", seconds, tally)
            time.sleep(0.1)
        self.demand(False, f"not right within {PATIENCE} s: {tally}, {sorted(tally.errors)[:3]}; "
                    f"tendmap told {self.tenders and self.tenders[-1].told()[-2000:]}")
        return Seen(f"not within {never} s: {tally}", None, tally)

    def owner(self, client=None):
        """The pid that the segment names as its owner."""
        return self.segment(client).header()["owner_pid"]

    def owning_worker(self):
        pid = self.owner()
        return next((worker for worker in self.workers if worker.pid() == pid), None)

    def new_owner(self, old, patience):
        """Seconds until another process owns the segment; `None`: not within."""
        begun = time.monotonic()
        while time.monotonic() < begun + patience:
            if self.owner() != old:
                return time.monotonic() - begun
            time.sleep(0.002)
        return None

    def usage(self, workers, seconds=3.0):
        """The largest share of a processor that one of them uses."""
        before = [cpu_seconds(worker.pid()) for worker in workers]
        begun = time.monotonic()
        time.sleep(seconds)
        after = [cpu_seconds(worker.pid()) for worker in workers]
        return max(b - a for a, b in zip(before, after)) / (time.monotonic() - begun)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """What a scenario saw: a cell of the table, and the figures behind it."""

    text: str
    seconds: float = None
    tally: Tally = None


__all__ = ["EVERY_KIND", "Failure", "Host", "Seen", "Tally", "ask_all"]
