"""Nodes that come, go and move."""

from clients import CLIENTS, NEWEST
from scenarios import scenario


@scenario(clients=tuple(CLIENTS), fast=(NEWEST,))
def membership(host, client):
    host.begin(clients=[client])
    host.crowd(4)
    host.follow()
    for title, lines in (
        ("a node is added", ["add"]),
        ("a node is killed", ["kill 2"]),
        ("a node returns", ["start 2"]),
        ("a node is removed", ["remove 4"]),
        ("a node moves to another port", ["move 3 0"]),
    ):
        for line in lines:
            host.cluster.tell(line)
        host.cluster.settle()
        seen = host.follow()
        if host.mirror:
            check_nodes(host)
        yield f"{title} ({client})", seen


def check_nodes(host):
    """The segment's active nodes are those of the cluster, each once."""
    wanted = {node["node"]: node["address"] for node in host.cluster.nodes() if node["state"] == "running"}
    found = host.segment().active()
    host.demand(found == wanted, f"active in the segment: {found}; in the cluster: {wanted}")


@scenario()
def all_nodes_move(host, client):
    """Pods that come back at other addresses, one after the other."""
    host.begin()
    host.crowd(4)
    host.follow()
    for node in (1, 2, 3):
        host.cluster.tell(f"move {node} 0")
        host.cluster.settle()
    yield "all nodes move, one after the other", host.follow()


@scenario()
def full(host, client):
    """One node more than the segment has slots for."""
    host.begin(nodes=4, tend=["--c-client-max-nodes=3"])
    host.crowd(4, shared={"shm_max_nodes": 3})
    seen = host.follow(good=lambda tally: tally.held())
    yield "one node more than the segment holds", seen
    host.cluster.tell("remove 1")
    host.cluster.settle()
    yield "… and one of the others leaves", host.follow()


@scenario()
def more_moves_than_slots(host, client):
    """A node moves more often than the segment has slots for."""
    host.begin(tend=["--c-client-max-nodes=5"])
    host.crowd(4, shared={"shm_max_nodes": 5})
    host.follow()
    for _ in range(5):
        host.cluster.tell("move 2 0")
        host.cluster.settle()
        if host.mirror:
            host.follow(good=lambda tally: tally.held())
    yield "a node moves five times, with five slots for three nodes", host.follow()
