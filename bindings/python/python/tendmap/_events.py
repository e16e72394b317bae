"""The events of `Client.events`, each kind as a type.

A type checker knows the fields once the kind was compared:

    for event in client.events():
        if event["event"] == "node_added":
            print(event["node"], event["address"])
"""

from typing import Literal, TypeAlias, TypedDict

#: "debug", "info" or "warning".
Level: TypeAlias = Literal["debug", "info", "warning"]


class OwnerEvent(TypedDict):
    """This process now owns a segment that it created."""

    event: Literal["owner"]
    generation: int
    term: int
    level: Level
    time: float


class TakeoverEvent(TypedDict):
    """This process has taken the ownership over."""

    event: Literal["takeover"]
    generation: int
    term: int
    level: Level
    time: float


class FollowerEvent(TypedDict):
    """This process now follows."""

    event: Literal["follower"]
    generation: int
    term: int
    level: Level
    time: float


class FencedEvent(TypedDict):
    """Another process has taken the ownership over from this one."""

    event: Literal["fenced"]
    term: int
    level: Level
    time: float


class NewOwnerEvent(TypedDict):
    """Another process has become owner; reported by followers."""

    event: Literal["new_owner"]
    term: int
    owner_pid: int | None
    level: Level
    time: float


class MovedEvent(TypedDict):
    """The segment was replaced by another one."""

    event: Literal["moved"]
    generation: int
    level: Level
    time: float


class PublishedEvent(TypedDict):
    """This owner published a map."""

    event: Literal["published"]
    sequence: int
    nodes: int
    namespaces: int
    level: Level
    time: float


class TendFailedEvent(TypedDict):
    """A pass failed; reported when the reason changes."""

    event: Literal["tend_failed"]
    error: str
    level: Level
    time: float


class TendRecoveredEvent(TypedDict):
    """Tending works again."""

    event: Literal["tend_recovered"]
    failed_for_ms: int
    level: Level
    time: float


class AbdicatedEvent(TypedDict):
    """This owner can't reach the cluster and gives the ownership up."""

    event: Literal["abdicated"]
    failed_for_ms: int
    level: Level
    time: float


class GrownEvent(TypedDict):
    """This owner has replaced the segment by a larger one."""

    event: Literal["grown"]
    generation: int
    max_nodes: int
    max_namespaces: int
    max_replicas: int
    level: Level
    time: float


class OfferedEvent(TypedDict):
    """This owner lacks a local resource, and offers the ownership to others."""

    event: Literal["offered"]
    level: Level
    time: float


class NoRoomEvent(TypedDict):
    """A larger segment can't be created."""

    event: Literal["no_room"]
    error: str
    level: Level
    time: float


class CapacityIgnoredEvent(TypedDict):
    """A second connect asked for other capacities than the segment has."""

    event: Literal["capacity_ignored"]
    what: str
    level: Level
    time: float


class ReadOnlyEvent(TypedDict):
    """This process may only read the segment, and can't become owner."""

    event: Literal["read_only"]
    segment: str
    reason: str
    level: Level
    time: float


class SecretExposedEvent(TypedDict):
    """Other users may read a file that holds a secret of this process."""

    event: Literal["secret_exposed"]
    path: str
    mode: str
    level: Level
    time: float


class TroubleEvent(TypedDict):
    """The segment could not be used as intended; the operation is repeated."""

    event: Literal["trouble"]
    error: str
    level: Level
    time: float


class NodeAddedEvent(TypedDict):
    """A node joined."""

    event: Literal["node_added"]
    node: str
    address: str
    level: Level
    time: float


class NodeRemovedEvent(TypedDict):
    """A node left."""

    event: Literal["node_removed"]
    node: str
    reason: str
    level: Level
    time: float


#: A node has another address.
NodeMovedEvent = TypedDict(
    "NodeMovedEvent",
    {
        "event": Literal["node_moved"],
        "node": str,
        "from": str,
        "to": str,
        "level": Level,
        "time": float,
    },
)

#: A node's server has another build.
NodeUpgradedEvent = TypedDict(
    "NodeUpgradedEvent",
    {
        "event": Literal["node_upgraded"],
        "node": str,
        "from": str,
        "to": str,
        "level": Level,
        "time": float,
    },
)


class NodeFailedEvent(TypedDict):
    """A node does not answer."""

    event: Literal["node_failed"]
    node: str
    address: str
    error: str
    level: Level
    time: float


class NodeUnresolvedEvent(TypedDict):
    """The name of a node's host can't be resolved."""

    event: Literal["node_unresolved"]
    node: str
    error: str
    level: Level
    time: float


class NodeRecoveredEvent(TypedDict):
    """A node answers again."""

    event: Literal["node_recovered"]
    node: str
    level: Level
    time: float


class NodeRefusedEvent(TypedDict):
    """There is no room for a node."""

    event: Literal["node_refused"]
    node: str
    capacity: int
    level: Level
    time: float


class PeersCutOffEvent(TypedDict):
    """A list of peers is longer than the ceiling of nodes."""

    event: Literal["peers_cut_off"]
    listed: int
    followed: int
    ceiling: int
    node: str | None
    level: Level
    time: float


class NamespaceAddedEvent(TypedDict):
    """A namespace is new."""

    event: Literal["namespace_added"]
    namespace: str
    level: Level
    time: float


class NamespaceRemovedEvent(TypedDict):
    """A namespace is gone."""

    event: Literal["namespace_removed"]
    namespace: str
    level: Level
    time: float


class NamespaceRefusedEvent(TypedDict):
    """There is no room for a namespace."""

    event: Literal["namespace_refused"]
    namespace: str
    capacity: int
    level: Level
    time: float


class NamespacesCutOffEvent(TypedDict):
    """There are more namespaces than the ceiling."""

    event: Literal["namespaces_cut_off"]
    listed: int
    ceiling: int
    node: str
    by_node: int
    level: Level
    time: float


class BadReplyEvent(TypedDict):
    """A node's reply can't be used."""

    event: Literal["bad_reply"]
    node: str
    error: str
    level: Level
    time: float


class BadEntryEvent(TypedDict):
    """An entry of a node's reply can't be used; the others are."""

    event: Literal["bad_entry"]
    node: str
    list: str
    entry: str
    problem: str
    level: Level
    time: float


class NoAlternateAddressEvent(TypedDict):
    """A node has no alternate address."""

    event: Literal["no_alternate_address"]
    node: str
    setting: str
    level: Level
    time: float


#: The cluster has another name.
ClusterRenamedEvent = TypedDict(
    "ClusterRenamedEvent",
    {
        "event": Literal["cluster_renamed"],
        "from": str | None,
        "to": str | None,
        "level": Level,
        "time": float,
    },
)


class ClaimsContradictEvent(TypedDict):
    """Several nodes claim to be master of the same partitions."""

    event: Literal["claims_contradict"]
    partitions: int
    nodes: list[str]
    level: Level
    time: float


class ClaimsAgreeEvent(TypedDict):
    """No two nodes claim the same partition any more."""

    event: Literal["claims_agree"]
    level: Level
    time: float


class CClientCreatedEvent(TypedDict):
    """A mirror created the C client's segment."""

    event: Literal["c_client_created"]
    c_client_key: int
    shm_id: int
    level: Level
    time: float


class CClientTookOverEvent(TypedDict):
    """A mirror fills the C client's segment."""

    event: Literal["c_client_took_over"]
    c_client_key: int
    shm_id: int
    from_pid: int | None
    level: Level
    time: float


class CClientStandbyEvent(TypedDict):
    """Another mirror fills the C client's segment."""

    event: Literal["c_client_standby"]
    c_client_key: int
    mirror_pid: int | None
    level: Level
    time: float


class CClientWaitingEvent(TypedDict):
    """A client owns the C client's segment; the mirror waits for its end."""

    event: Literal["c_client_waiting"]
    c_client_key: int
    owner_pid: int
    level: Level
    time: float


class CClientRefusedEvent(TypedDict):
    """The C client's segment can't be filled."""

    event: Literal["c_client_refused"]
    c_client_key: int
    reason: str
    level: Level
    time: float


class CClientFencedEvent(TypedDict):
    """Another process took over the C client's segment."""

    event: Literal["c_client_fenced"]
    c_client_key: int
    owner_pid: int
    level: Level
    time: float


class CClientRemovedEvent(TypedDict):
    """The C client's segment was removed: restart its clients."""

    event: Literal["c_client_removed"]
    c_client_key: int
    shm_id: int
    level: Level
    time: float


class CClientNodeLeftOutEvent(TypedDict):
    """The C client's segment has no slot for a node."""

    event: Literal["c_client_node_left_out"]
    c_client_key: int
    node: str
    capacity: int
    level: Level
    time: float


class CClientNamespaceLeftOutEvent(TypedDict):
    """The C client's segment has no table for a namespace."""

    event: Literal["c_client_namespace_left_out"]
    c_client_key: int
    namespace: str
    capacity: int
    level: Level
    time: float


class CClientSlotReusedEarlyEvent(TypedDict):
    """A node got the slot of one that left recently."""

    event: Literal["c_client_slot_reused_early"]
    c_client_key: int
    node: str
    slot: int
    out_of_use_ms: int
    level: Level
    time: float


class CClientMendedEvent(TypedDict):
    """The C client's segment was damaged, and was mended."""

    event: Literal["c_client_mended"]
    c_client_key: int
    words: int
    level: Level
    time: float


class CClientLocksFreedEvent(TypedDict):
    """Locks of dead processes were freed."""

    event: Literal["c_client_locks_freed"]
    c_client_key: int
    locks: int
    level: Level
    time: float


class CClientReleasedEvent(TypedDict):
    """The C client's segment was released."""

    event: Literal["c_client_released"]
    c_client_key: int
    level: Level
    time: float


class CClientTroubleEvent(TypedDict):
    """The C client's segment could not be used as intended."""

    event: Literal["c_client_trouble"]
    c_client_key: int
    error: str
    level: Level
    time: float


class EventsLostEvent(TypedDict):
    """Earlier events were dropped, because they were not asked for in time."""

    event: Literal["events_lost"]
    count: int
    level: Level
    time: float


#: Any event.
Event: TypeAlias = (
    OwnerEvent
    | TakeoverEvent
    | FollowerEvent
    | FencedEvent
    | NewOwnerEvent
    | MovedEvent
    | PublishedEvent
    | TendFailedEvent
    | TendRecoveredEvent
    | AbdicatedEvent
    | GrownEvent
    | OfferedEvent
    | NoRoomEvent
    | CapacityIgnoredEvent
    | ReadOnlyEvent
    | SecretExposedEvent
    | TroubleEvent
    | NodeAddedEvent
    | NodeRemovedEvent
    | NodeMovedEvent
    | NodeUpgradedEvent
    | NodeFailedEvent
    | NodeUnresolvedEvent
    | NodeRecoveredEvent
    | NodeRefusedEvent
    | PeersCutOffEvent
    | NamespaceAddedEvent
    | NamespaceRemovedEvent
    | NamespaceRefusedEvent
    | NamespacesCutOffEvent
    | BadReplyEvent
    | BadEntryEvent
    | NoAlternateAddressEvent
    | ClusterRenamedEvent
    | ClaimsContradictEvent
    | ClaimsAgreeEvent
    | CClientCreatedEvent
    | CClientTookOverEvent
    | CClientStandbyEvent
    | CClientWaitingEvent
    | CClientRefusedEvent
    | CClientFencedEvent
    | CClientRemovedEvent
    | CClientNodeLeftOutEvent
    | CClientNamespaceLeftOutEvent
    | CClientSlotReusedEarlyEvent
    | CClientMendedEvent
    | CClientLocksFreedEvent
    | CClientReleasedEvent
    | CClientTroubleEvent
    | EventsLostEvent
)
