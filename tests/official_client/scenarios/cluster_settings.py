"""Replication factor, strong consistency and racks, which change."""

from host import Seen
from rig import until
from scenarios import scenario

# Of aerospike.POLICY_REPLICA_…: any replica in turn, one of the preferred rack.
ANY, PREFER_RACK = 1, 3
NODES, RACK = 3, 2


@scenario()
def replication_factor(host, client):
    """Reads from all replicas in turn come to the new ones too."""
    host.begin(sim=["--namespace", "test:1"])
    host.crowd(4)
    host.follow()
    for factor in (3, 2):
        host.cluster.tell(f"namespace rf test {factor}")
        host.cluster.settle()
        seen = host.follow(
            kinds=["get"], read={"replica": ANY}, count=24,
            good=lambda tally: tally.held() and covers(host, factor),
        )
        if seen.seconds is None:
            seen = Seen("the segment keeps the old one, and followers read from those replicas")
        if host.mirror:
            until("the replica size to be written", lambda: host.segment().tables()["test"]["replica_size"] == factor)
        yield f"the replication factor becomes {factor}", seen


def covers(host, factor):
    """Whether the segment's entries name as many holders as the cluster has."""
    if not host.mirror:
        return host.segment().tables()["test"]["replica_size"] == factor
    rows = host.cluster.owners()
    table = host.segment().tables()["test"]
    return [names for names, _ in table["rows"]] == [row[:3] for row in rows]


@scenario()
def strong_consistency(host, client):
    """Strongly consistent reads go to the master, whatever replica is asked for."""
    host.begin(sim=["--namespace", "test:2"])
    host.crowd(4)
    host.follow()
    spread = host.round(kinds=["get"], read={"replica": ANY}, count=24)
    host.demand(spread.replica > 0, f"no read came to another replica: {spread}")
    host.cluster.tell("namespace strong test true")
    host.cluster.settle()
    yield "strong consistency is switched on", host.follow(kinds=["get"], read={"replica": ANY}, count=24)
    host.cluster.tell("namespace strong test false")
    host.cluster.settle()
    seen = host.follow(
        kinds=["get"], read={"replica": ANY}, count=24, good=lambda tally: tally.held() and tally.replica > 0
    )
    yield "… and off again", seen


@scenario()
def racks(host, client):
    """Reads prefer the rack of the client; racks change; they differ by namespace."""
    host.begin(sim=["--enterprise", "--namespace", "test:2", "--namespace", "bar:2"],
               console=[f"rack {node} {namespace} {node}" for node in range(1, NODES + 1)
                        for namespace in ("test", "bar")])
    host.crowd(4, rack_aware=True, rack_id=RACK)
    yield "racks, the same in all namespaces", preferred(host, "test")
    for node, rack in ((1, 2), (2, 1)):
        for namespace in ("test", "bar"):
            host.cluster.tell(f"rack {node} {namespace} {rack}")
    host.cluster.settle()
    yield "… which change", preferred(host, "test")
    for node, rack in ((1, 1), (2, 2)):
        host.cluster.tell(f"rack {node} bar {rack}")
    host.cluster.settle()
    # While a client asks the servers for the racks of each namespace it knows none, also
    # of the namespace in which nothing changed.
    seen = preferred(host, "bar")
    preferred(host, "test")
    yield "racks that differ by namespace", seen


def preferred(host, namespace):
    """Until reads come to the node of the preferred rack, if it has a replica."""
    racks = {int(node): int(rack) for node, of, rack in host.cluster.racks if of == namespace}
    near = {node["node"] for node in host.cluster.nodes() if racks.get(node["number"]) == RACK}
    rows = host.cluster.owners(namespace)

    def good(tally):
        far = [command for command in host.last if command["kind"] == "read"
               and near & set(rows[command["partition"]]) and command["node"] not in near]
        here = [command for command in host.last if command["node"] in near]
        return tally.held() and here and not far

    host.round(kinds=["put"], namespace=namespace)
    return host.follow(kinds=["get"], read={"replica": PREFER_RACK}, namespace=namespace, count=12, good=good)


@scenario()
def namespaces(host, client):
    """A namespace is added, one is removed; then more than the segment has tables for."""
    host.begin(sim=["--namespace", "test:2", "--namespace", "bar:2"], tend=["--c-client-max-namespaces=3"])
    host.crowd(4, shared={"shm_max_namespaces": 3})
    host.follow()
    host.cluster.tell("namespace add new 2")
    host.cluster.settle()
    yield "a namespace is added", host.follow(namespace="new")
    host.cluster.tell("namespace remove bar")
    host.cluster.settle()
    yield "… and one is removed", host.follow(namespace="new")
    host.cluster.tell("namespace add more 2")
    host.cluster.settle()
    host.cluster.tell("kill 2")
    host.cluster.settle()
    host.follow(namespace="test")
    yield "… and there is one more than there are tables; a node is killed", host.follow(namespace="new")
