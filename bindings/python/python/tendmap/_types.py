"""The types of arguments and results, for annotations."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from array import array

    from numpy.typing import NDArray

#: The types of a key. A float is a double of the server.
Key: TypeAlias = int | str | bytes | bytearray | float


class ArrowArray(Protocol):
    """What exports one Arrow array: of pyarrow, polars, pandas and others."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...


class ArrowStream(Protocol):
    """What exports a stream of Arrow arrays, such as a column in chunks."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class ArrayLike(Protocol):
    """What NumPy can read as an array, such as an index of pandas."""

    def __array__(self) -> Any: ...

    def __len__(self) -> int: ...


#: Many keys of one type; see `Client.route_batch`.
Column: TypeAlias = (
    "NDArray[Any] | ArrowArray | ArrowStream | array[int] | array[float] | memoryview | ArrayLike"
)

#: The choice of a replica; see `Client.route`.
Policy: TypeAlias = Literal["master", "sequence", "any", "random", "prefer_rack"]

#: A duration: a number of seconds, text such as "500ms" or "2s", or a timedelta.
Seconds: TypeAlias = float | str | timedelta

#: A process's role: "owner" tends, "standby" is next to become owner, "follower" reads.
Role: TypeAlias = Literal["owner", "standby", "follower", "closed"]


class NamespaceStatus(TypedDict):
    """A namespace, in a `Status`."""

    name: str
    replication_factor: int
    #: The number of replicas that routes can use.
    routable_replicas: int
    strong_consistency: bool
    #: Partitions without a master.
    holes: int


class NodeStatus(TypedDict):
    """A node, in a `Status`."""

    id: str
    address: str
    #: The build of its server, such as "8.1.2.0"; None = not known.
    build: str | None
    #: Consecutive passes in which it did not answer the owner; None = not known.
    failures: int | None
    last_error: str | None
    #: The age of that error.
    last_error_age_ms: int | None


class ConditionStatus(TypedDict):
    """A condition of the last pass, and the number of consecutive passes with it."""

    condition: str
    passes: int
    count: int


class DepartedNode(TypedDict):
    """A node that left within the last ten minutes."""

    id: str
    age_ms: int
    reason: str


class TimesBucket(TypedDict):
    """How many durations fell between the bound of the bucket before and this one."""

    #: The inclusive upper bound; None for the last bucket.
    up_to_us: int | None
    count: int


class Times(TypedDict):
    """How long passes or publications took since the segment was created."""

    count: int
    sum_us: int
    buckets: list[TimesBucket]


class Status(TypedDict):
    """The state of the segment and its owner: the fields of `tendmap status --json`."""

    backend: Literal["file", "sysv"] | None
    path: str | None
    shmid: int | None
    user: int | None
    bytes: int
    layout_version: int
    key: int
    generation: int
    retired: bool
    cluster_name: str | None
    term: int
    sequence: int
    owner_pid: int | None
    owner_alive: bool
    abdicated: bool
    heartbeat_age_ms: int | None
    tended_age_ms: int | None
    tend_interval_ms: int | None
    nodes: int
    members: list[NodeStatus]
    max_nodes: int
    max_namespaces: int
    max_replicas: int
    namespaces: list[NamespaceStatus]
    publications: int
    takeovers: int
    refused_nodes: int
    tends: int
    tend_errors: int
    pass_us: int | None
    bytes_in: int
    failing_nodes: int
    ask_errors: int
    bad_replies: int
    #: None if a new owner has not continued them yet.
    pass_times: Times | None
    publication_times: Times | None
    conditions: list[ConditionStatus]
    last_error: str | None
    last_error_age_ms: int | None
    shortage: str | None
    departed: list[DepartedNode]
    attached: int | None
    healthy: bool
    problems: list[str]
    remarks: list[str]
