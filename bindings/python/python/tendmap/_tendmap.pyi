"""The compiled part of tendmap."""

from collections.abc import AsyncIterator, Iterable, Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, SupportsIndex, TypeVar, final, overload

import numpy as np
from numpy.typing import NDArray

from ._events import Event
from ._types import Column, Key, Policy, Role, Seconds, Status

_Out = TypeVar("_Out")

__version__: Final[str]
NO_NODE: Final[int]
"""Marks a key without a node in the arrays of `Client.route_batch`."""

def digest(set: str | None, key: Key) -> bytes:
    """The RIPEMD-160 digest of a key in a set (None = in none): 20 bytes."""

def status(
    *,
    shm_key: int | str = "0xA7000000",
    shm_backend: Literal["file", "sysv"] = "file",
    shm_directory: str | PathLike[str] = "/dev/shm",
    shm_owner: int | str | Iterable[int | str] | None = None,
) -> Status:
    """The state of a segment and its owner, read without attaching: no thread, no
    connection, and this process never becomes owner. For monitoring.

    Raises SegmentError if there is no such segment.
    """

# Between the extension and its Python part.
def _main(program: list[str], arguments: list[str]) -> int: ...
def _end() -> None: ...
def _log() -> int | None: ...
def _take_log() -> list[tuple[int, str, str, float]]: ...
@final
class _Pending:
    def fileno(self) -> int: ...
    def end(self) -> None: ...
    def abandon(self) -> None: ...

@final
class Node:
    """A node of the cluster.

    A process has one object for each node, while the node and its address are
    the same and the client is open. So `state`, or a weak dictionary of nodes,
    can hold data for a node, for example a connection pool. In a forked child
    the objects are new and their `state` is None.
    """

    state: Any
    """Any object of the application; None at first."""
    @property
    def index(self) -> int:
        """The node's index in the arrays of `Client.route_batch`."""
    @property
    def incarnation(self) -> int:
        """How many times a node got this index."""
    @property
    def name(self) -> str:
        """The node id."""
    @property
    def host(self) -> str:
        """Its IP address."""
    @property
    def port(self) -> int:
        """Its port."""
    @property
    def address(self) -> str:
        """IP address and port: "10.0.0.1:3000", "[::1]:3000"."""
    @property
    def tls_name(self) -> str | None:
        """The name on its TLS certificate."""
    @property
    def build(self) -> str | None:
        """The build of its server, such as "8.1.2.0", as `Client.nodes` or
        `Client.locate` found it last; None if it is not known. A node that is
        upgraded stays the same object."""
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn: ...

@final
class Route:
    """The route of a key, as `Client.locate` returns it."""

    @property
    def node(self) -> Node:
        """The node."""
    @property
    def namespace(self) -> str:
        """The namespace's name."""
    @property
    def partition(self) -> int:
        """The partition."""
    @property
    def replica(self) -> int:
        """The replica's number; 0 = the master."""
    @property
    def sequence(self) -> int:
        """The publication that it was read from."""
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn: ...

@final
class Changes:
    """Changes of the map, as a descriptor that an event loop polls for reading:
    `Client.changes` and `Reader.changes` make it.

    When `fileno()` is readable, `take()` makes it unreadable again and returns the
    live sequence. No change is lost; several in short succession may be reported
    once. Never read from the descriptor and never close it. In asyncio, iterate:

        async for sequence in client.changes():
            print(client.nodes())

    The iteration may be cancelled at any time, goes on where it was left, and ends
    when the client is closed. It holds no thread. A forked child makes another one.
    """

    def fileno(self) -> int:
        """The descriptor."""
    def take(self) -> int:
        """Makes the descriptor unreadable until the next change, and returns the live
        sequence. It does not wait.

        Raises ClosedError once the client is closed, ForkedError in a forked child."""
    @property
    def sequence(self) -> int:
        """The live publication. The descriptor is not changed."""
    @property
    def closed(self) -> bool:
        """Whether it was closed."""
    def close(self) -> None:
        """Closes the descriptor; remove it from loops before. Closing again does
        nothing."""
    def __enter__(self) -> Changes: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None: ...
    def __aiter__(self) -> AsyncIterator[int]: ...
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn: ...

@final
class Client:
    """A process's connection to a cluster's map.

    Any thread may use it. It may be created before `os.fork` and used after it:
    the first call in a child starts the child's own part, without touching its
    parent's. It can't be pickled or copied: another process makes one of its own."""

    def __new__(
        cls,
        hosts: str | Iterable[str | tuple[str, int] | tuple[str, int, str | None] | list[Any]],
        *,
        lazy: bool = False,
        cluster_name: str | None = None,
        user: str | None = None,
        password: str | None = None,
        auth_mode: Literal["INTERNAL", "EXTERNAL", "EXTERNAL_INSECURE", "PKI"] = "INTERNAL",
        tls: bool | None = None,
        tls_cafile: str | PathLike[str] | None = None,
        tls_certfile: str | PathLike[str] | None = None,
        tls_keyfile: str | PathLike[str] | None = None,
        tls_for_login_only: bool = False,
        use_services_alternate: bool = False,
        ip_map: Mapping[str, str] | str | None = None,
        use_shm: bool = True,
        shm_key: int | str = "0xA7000000",
        shm_max_nodes: int = 16,
        shm_max_namespaces: int = 8,
        shm_max_replicas: int = 3,
        shm_node_ceiling: int = 4096,
        shm_namespace_ceiling: int = 256,
        shm_takeover_threshold: Seconds = 30,
        shm_backend: Literal["file", "sysv"] = "file",
        shm_directory: str | PathLike[str] = "/dev/shm",
        shm_mode: int | str = "0600",
        shm_owner: int | str | Iterable[int | str] | None = None,
        shm_allow_group_write: bool = False,
        preferred_racks: Iterable[int] | str = (),
        tend_interval: Seconds = 1,
        connect_timeout: Seconds = 1,
        c_client: str | Iterable[str] | None = None,
        c_client_max_nodes: int = 16,
        c_client_max_namespaces: int = 8,
        c_client_mode: int | str = "0666",
        c_client_on_exit: Literal["hold", "release"] = "hold",
        c_client_owner: Literal["pid", "always"] = "pid",
    ) -> Client:
        """Connects: attaches to the segment of `shm_key`, or creates it and tends.

        hosts: "NAME:PORT", several separated by commas, or a list of them or of
            (NAME, PORT) or (NAME, PORT, TLS_NAME).
        lazy: connect at the first use instead of now, for a client that is created
            before workers are forked and that only they use, or in asyncio. A first use
            in a running event loop does not wait for a map: it raises NoMapError until
            there is one. `await client.connect_async()` waits for it.

        The other arguments are the settings of the library. Durations are numbers of
        seconds, text ("500ms", "2s") or timedeltas; shm_key is a number or its text
        (0xA7000000 if not given), shm_mode mode bits (0o600). Invalid values raise
        ConfigError, also with `lazy`; values of a wrong type ArgumentTypeError.

        Raises ConnectError; then nothing is left behind. A signal (Ctrl-C) ends the
        wait.
        """
    def connect(self) -> None:
        """Connects now, if `lazy` was given or this is a forked child. A signal
        (Ctrl-C) ends the wait."""
    def _connecting(self) -> _Pending: ...
    def _connected(self, pending: _Pending) -> None: ...
    def _closing(self) -> _Pending | None: ...
    def _settings(self) -> list[tuple[str, str]]: ...
    async def connect_async(self) -> Client:
        """As `connect`, for asyncio: the event loop goes on. Cancelling it ends the wait
        at once; the attempt itself ends by itself and is undone."""
    def close(self) -> None:
        """Closes the client, and releases the nodes with their `state`. The last
        client of the process under its key hands the ownership over, and the
        last process removes the segment. Further calls raise ClosedError;
        closing again does nothing."""
    async def aclose(self) -> None:
        """As `close`, for asyncio: the event loop goes on while the ownership is handed
        over. If it is cancelled, the client is closed all the same."""
    def __enter__(self) -> Client: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None: ...
    async def __aenter__(self) -> Client: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None: ...
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn: ...
    @property
    def role(self) -> Role:
        """This process's current role."""
    @property
    def closed(self) -> bool:
        """Whether it was closed."""
    def route(
        self, namespace: str, set: str | None, key: Key, policy: Policy = "sequence"
    ) -> Node:
        """The node to ask for a key.

        policy: "master" = only the master; "sequence" = replicas in their
            order, from the master; "any" = starting one replica further with
            each call; "random" = starting at a random replica; "prefer_rack" = a
            node in the first of the `preferred_racks` that has one, then in the
            second, and so on, then any.

        Raises RouteError; NoNodeError if no node of the partition may be used.
        """
    def route_digest(self, namespace: str, digest: bytes | bytearray, policy: Policy = "sequence") -> Node:
        """As `route`, for a digest that was computed before."""
    def locate(
        self, namespace: str, set: str | None, key: Key, policy: Policy = "sequence"
    ) -> Route:
        """As `route`, with partition and replica, and for use with `retry`."""
    def retry(self, route: Route) -> Route:
        """The next attempt after the node of `route` has failed a command,
        starting at the next replica. ("master" returns the master again;
        "prefer_rack" returns the failed node only if there is no other.)"""
    @overload
    def route_batch(  # type: ignore[overload-overlap]
        self,
        namespace: str,
        set: str | None,
        keys: Column,
        policy: Policy = "sequence",
        *,
        out: None = None,
    ) -> NDArray[np.uint16]:
        """The nodes of many keys, all of one publication.

        For an iterable of keys: a list of nodes, None where a partition has
        none.

        For a column of keys: an array of node indexes (`Node.index`), NO_NODE
        where a partition has none. It is a NumPy array of uint16, or an
        `array.array` if NumPy is not installed. Columns are NumPy arrays of one
        dimension, Arrow arrays and everything that exports them (pyarrow, polars,
        pandas), and objects with a buffer of numbers (array.array, memoryview).
        They may hold integers that fit 64 bits, doubles, texts, or bytes. A
        column with a null raises ArgumentError with its index. No Python code
        runs for each key.

        `out` (uint16, contiguous, as long as `keys`; writable) is filled and
        returned if it is given. It must not share memory with keys of 64 or 32
        bits: then nothing is written and TypeError is raised. The interpreter's
        lock is released while many keys are routed. Both may be changed or
        resized meanwhile, even with `refcheck=False`: the keys are those at the
        time of the call, and if `out` no longer fits when the indexes are
        written, ValueError or TypeError is raised.
        """
    @overload
    def route_batch(
        self,
        namespace: str,
        set: str | None,
        keys: Column,
        policy: Policy = "sequence",
        *,
        out: _Out,
    ) -> _Out: ...
    @overload
    def route_batch(
        self,
        namespace: str,
        set: str | None,
        keys: Iterable[Key],
        policy: Policy = "sequence",
    ) -> list[Node | None]: ...
    def nodes(self) -> list[Node]:
        """The cluster's nodes, in the order of their indexes."""
    def namespaces(self) -> list[str]:
        """The names of the cluster's namespaces."""
    def status(self) -> Status:
        """The state of the segment and its owner."""
    def request_tend(self) -> None:
        """Asks the owner, whichever process that is, to tend soon: for callers
        that see connections to a node fail. The owner tends at the earliest a
        quarter of its interval after its last pass, whatever the number of
        requests. A request may be lost. The call does not wait;
        `wait_for_change` does."""
    @property
    def sequence(self) -> int:
        """The live publication; 0 = none yet."""
    def wait_for_change(self, sequence: int, timeout: Seconds | None = None) -> int:
        """Waits until a publication other than `sequence` is live, at most
        `timeout` (seconds, "100ms" or a timedelta; None = without limit), and
        returns the live sequence. Other threads run meanwhile. A signal (Ctrl-C)
        ends the wait; closing ends it with ClosedError. In asyncio use `changed`
        or `changes`."""
    def changes(self) -> Changes:
        """A descriptor that becomes readable when the map changes, for event
        loops. In asyncio it is an iterator:

            async for sequence in client.changes():
                print(client.nodes())"""
    async def changed(self, after: int | None = None, timeout: Seconds | None = None) -> int:
        """For asyncio: waits until a publication other than `after` (the live one,
        if not given) is live, at most `timeout` (seconds, "100ms" or a timedelta;
        None = without limit), and returns the live sequence. No thread waits, and
        it may be cancelled at any time. Closing ends it with ClosedError. In a
        loop `changes` costs less."""
    def events(self) -> list[Event]:
        """The events since the last call, the oldest first: nodes that joined,
        left or fail, takeovers, passes that fail or succeed again. It never
        waits. The logger "tendmap" has them, too, as text.

        Each is a dict (`tendmap.Event`) with its name as `event`, the fields of a
        line of `tendmap tend --json`, `level` ("debug", "info" or "warning") and
        `time` (seconds since 1970). The last 256 are kept; if there were more, the
        first is "events_lost" with their `count`. Clients of one process under
        one key share their events: the one that connected first has them. A
        forked child has its own, and none of its parent's.
        """
    def set_preferred_racks(self, racks: Iterable[int] | str) -> None:
        """Changes the racks that "prefer_rack" prefers, the best first, from the
        next call; an empty list means none. Other clients have their own;
        children that are forked later start with these."""
    def set_tend_interval(self, interval: Seconds) -> None:
        """Changes how often this process polls the cluster as owner: from now
        on, or from when it becomes owner. All clients of the process under this
        key share it.

        Raises ConfigError below 50 ms, or if other processes would consider an
        owner with that interval hung (`shm_takeover_threshold`); then nothing
        has changed."""
    def set_password(self, password: str) -> None:
        """Changes the password of the user that this process logs in as. It
        applies from the next login; connections are not changed.

        Raises ConfigError if the client has no `user`, or no server accepts such
        a password; then nothing has changed."""

@final
class Reader:
    """A view of the map that another process keeps: no thread, no network, no permission
    to write. It routes and waits as a client does, but never tends, so the map is as
    current as its owner keeps it. Any thread may use it, and forked children."""

    def __new__(
        cls,
        *,
        shm_key: int | str = "0xA7000000",
        shm_backend: Literal["file", "sysv"] = "file",
        shm_directory: str | PathLike[str] = "/dev/shm",
        shm_owner: int | str | Iterable[int | str] | None = None,
        shm_allow_group_write: bool = False,
        cluster_name: str | None = None,
        preferred_racks: Iterable[int] | str = (),
    ) -> Reader:
        """cluster_name: refuse the map of any other cluster.
        preferred_racks: the racks that "prefer_rack" reads from, the best first.

        The other arguments say where the segment is, as those of `Client`. It follows the
        segment's successors by itself.

        Raises SegmentError if there is no such segment or this process may not read it."""
    def close(self) -> None:
        """Closes the reader: releases the nodes with their `state`, and ends waits. Further
        calls raise ClosedError; closing again does nothing."""
    def __enter__(self) -> Reader: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None: ...
    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn: ...
    @property
    def closed(self) -> bool:
        """Whether it was closed."""
    def route(
        self, namespace: str, set: str | None, key: Key, policy: Policy = "sequence"
    ) -> Node:
        """The node to ask for a key.

        policy: "master" = only the master; "sequence" = replicas in their
            order, from the master; "any" = starting one replica further with
            each call; "random" = starting at a random replica; "prefer_rack" = a
            node in the first of the `preferred_racks` that has one, then in the
            second, and so on, then any.

        Raises RouteError; NoNodeError if no node of the partition may be used.
        """
    def route_digest(self, namespace: str, digest: bytes | bytearray, policy: Policy = "sequence") -> Node:
        """As `route`, for a digest that was computed before."""
    def locate(
        self, namespace: str, set: str | None, key: Key, policy: Policy = "sequence"
    ) -> Route:
        """As `route`, with partition and replica, and for use with `retry`."""
    def retry(self, route: Route) -> Route:
        """The next attempt after the node of `route` has failed a command,
        starting at the next replica. ("master" returns the master again;
        "prefer_rack" returns the failed node only if there is no other.)"""
    @overload
    def route_batch(  # type: ignore[overload-overlap]
        self,
        namespace: str,
        set: str | None,
        keys: Column,
        policy: Policy = "sequence",
        *,
        out: None = None,
    ) -> NDArray[np.uint16]:
        """The nodes of many keys, all of one publication.

        For an iterable of keys: a list of nodes, None where a partition has
        none.

        For a column of keys: an array of node indexes (`Node.index`), NO_NODE
        where a partition has none. It is a NumPy array of uint16, or an
        `array.array` if NumPy is not installed. Columns are NumPy arrays of one
        dimension, Arrow arrays and everything that exports them (pyarrow, polars,
        pandas), and objects with a buffer of numbers (array.array, memoryview).
        They may hold integers that fit 64 bits, doubles, texts, or bytes. A
        column with a null raises ArgumentError with its index. No Python code
        runs for each key.

        `out` (uint16, contiguous, as long as `keys`; writable) is filled and
        returned if it is given. It must not share memory with keys of 64 or 32
        bits: then nothing is written and TypeError is raised. The interpreter's
        lock is released while many keys are routed. Both may be changed or
        resized meanwhile, even with `refcheck=False`: the keys are those at the
        time of the call, and if `out` no longer fits when the indexes are
        written, ValueError or TypeError is raised.
        """
    @overload
    def route_batch(
        self,
        namespace: str,
        set: str | None,
        keys: Column,
        policy: Policy = "sequence",
        *,
        out: _Out,
    ) -> _Out: ...
    @overload
    def route_batch(
        self,
        namespace: str,
        set: str | None,
        keys: Iterable[Key],
        policy: Policy = "sequence",
    ) -> list[Node | None]: ...
    def nodes(self) -> list[Node]:
        """The cluster's nodes, in the order of their indexes."""
    def namespaces(self) -> list[str]:
        """The names of the cluster's namespaces."""
    def status(self) -> Status:
        """The state of the segment and its owner."""
    def request_tend(self) -> None:
        """Asks the owner, whichever process that is, to tend soon: for callers
        that see connections to a node fail. The owner tends at the earliest a
        quarter of its interval after its last pass, whatever the number of
        requests. A request may be lost. The call does not wait;
        `wait_for_change` does."""
    @property
    def sequence(self) -> int:
        """The live publication; 0 = none yet."""
    def wait_for_change(self, sequence: int, timeout: Seconds | None = None) -> int:
        """Waits until a publication other than `sequence` is live, at most
        `timeout` (seconds, "100ms" or a timedelta; None = without limit), and
        returns the live sequence. Other threads run meanwhile. A signal (Ctrl-C)
        ends the wait; closing ends it with ClosedError. In asyncio use `changed`
        or `changes`."""
    def changes(self) -> Changes:
        """A descriptor that becomes readable when the map changes, for event
        loops. In asyncio it is an iterator:

            async for sequence in client.changes():
                print(client.nodes())"""
    async def changed(self, after: int | None = None, timeout: Seconds | None = None) -> int:
        """For asyncio: waits until a publication other than `after` (the live one,
        if not given) is live, at most `timeout` (seconds, "100ms" or a timedelta;
        None = without limit), and returns the live sequence. No thread waits, and
        it may be cancelled at any time. Closing ends it with ClosedError. In a
        loop `changes` costs less."""
    def set_preferred_racks(self, racks: Iterable[int] | str) -> None:
        """Changes the racks that "prefer_rack" prefers, the best first, from the
        next call; an empty list means none."""

@final
class SimulatedCluster:
    """A cluster for tests, in a thread of this process, that speaks the real
    protocol on the loopback. Nodes are numbered from 1 on."""

    def __new__(
        cls,
        nodes: int = 3,
        *,
        namespaces: Mapping[str, int] | None = None,
        cluster_name: str = "sim",
        base_port: int = 0,
        enterprise: bool = False,
    ) -> SimulatedCluster:
        """nodes: the number of nodes, at least 1.
        namespaces: replication factors by name; {"test": 2} if not given.
        base_port: the port of node 1; the others follow. 0 = any free ports.
        enterprise: answer as the Enterprise Edition does, with racks."""
    @property
    def hosts(self) -> list[str]:
        """The addresses of all nodes, by number."""
    def kill(self, number: int) -> None:
        """Kills a node: its sockets close at once, and the other nodes notice
        after about two seconds."""
    def stop(self, number: int) -> None:
        """Stops a node cleanly."""
    def start(self, number: int) -> None:
        """Starts a stopped node at its port."""
    def freeze(self, number: int) -> None:
        """Stops a node as SIGSTOP would."""
    def thaw(self, number: int) -> None:
        """Resumes a frozen node."""
    def add(self) -> int:
        """Adds a node and returns its number."""
    def remove(self, number: int) -> None:
        """Stops a node for good."""
    def move_node(self, number: int, port: int = 0) -> int:
        """Restarts a node at another port and returns the port."""
    def set_build(self, number: int, build: str) -> None:
        """Makes a node report another build, such as "8.1.2.0", at once."""
    def set_rack(self, number: int, namespace: str, rack: int) -> None:
        """Puts a node into a rack for a namespace; nodes of an `enterprise`
        cluster are in rack 0 at first."""
    def settle(self, timeout: Seconds | None = 30) -> bool:
        """Waits until the cluster is quiet. Returns False if it is not quiet in
        time."""
    def owners(self, namespace: str) -> list[list[str]]:
        """For each partition the names of the nodes that hold it, from the
        cluster's own state."""
    def close(self) -> None:
        """Stops all of its nodes; closing again does nothing."""
    def __enter__(self) -> SimulatedCluster: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None: ...
