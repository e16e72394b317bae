"""The C client's shared memory, read and written word by word.

Independent of tendmap's code on purpose: its offsets are written down here again,
from the debug information of the official clients. A segment is attached for one
look at a time, since a client removes a segment at its end only if nothing else is
attached.
"""

import contextlib
import ctypes
import os
import socket
import struct
from dataclasses import dataclass

PARTITIONS = 4096
HEADER = 56
WRITER = 1 << 31  # the bit of a slot's lock that a writer holds
RDONLY, CREAT, EXCL, RMID = 0o10000, 0o1000, 0o2000, 0

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
libc.shmdt.argtypes = (ctypes.c_void_p,)
libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)

# name: (offset, format)
FIELDS = {
    "timestamp": (0, "Q"), "owner_pid": (8, "I"), "nodes_size": (12, "I"), "nodes_capacity": (16, "I"),
    "nodes_gen": (20, "I"), "n_partitions": (24, "I"), "tables_size": (28, "I"),
    "tables_capacity": (32, "I"), "tables_offset": (36, "I"), "table_size": (40, "I"),
    "take_over_lock": (44, "I"), "lock": (48, "B"), "ready": (49, "B"), "rebalance_gen": (52, "I"),
}


@dataclass(frozen=True)
class Layout:
    node: int  # bytes
    features: int  # offset in a node; three words follow
    whole: bool  # whether an entry has three nodes: D has a master and a prole

    def size(self, nodes, namespaces):
        return HEADER + nodes * self.node + namespaces * (40 + PARTITIONS * 16)


LAYOUTS = {"D": Layout(424, 408, False), "E": Layout(424, 408, True), "F": Layout(432, 416, True)}


class Missing(Exception):
    """There is no such segment."""


def signed(key):
    return ctypes.c_int32(key).value


def find(key):
    """The id of the segment with that key; `None` if there is none."""
    found = libc.shmget(signed(key), 0, 0)
    return found if found >= 0 else None


def create(key, size, mode=0o666):
    found = libc.shmget(signed(key), size, CREAT | EXCL | mode)
    if found < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    return found


def remove(key):
    """As `ipcrm -M`; whether there was one."""
    found = find(key)
    return found is not None and libc.shmctl(found, RMID, None) == 0


def all_segments():
    """What the system lists: key, id, size, attached, mode."""
    with open("/proc/sysvipc/shm") as file:
        names, *rows = [line.split() for line in file]
    found = [dict(zip(names, row)) for row in rows]
    return [
        {"key": int(row["key"]) & 0xFFFFFFFF, "id": int(row["shmid"]), "size": int(row["size"]),
         "attached": int(row["nattch"]), "mode": int(row["perms"], 8) & 0o777, "uid": int(row["uid"])}
        for row in found
    ]


def about(key):
    rows = [row for row in all_segments() if row["key"] == key & 0xFFFFFFFF]
    return rows[0] if rows else None


@contextlib.contextmanager
def attached(key, write=False):
    """A segment, attached for as long as the block lasts."""
    row = about(key)
    if row is None:
        raise Missing(f"there is no segment {key:#x}")
    address = libc.shmat(row["id"], None, 0 if write else RDONLY)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), f"shmat {key:#x}: {os.strerror(ctypes.get_errno())}")
    try:
        yield (ctypes.c_char * row["size"]).from_address(address)
    finally:
        libc.shmdt(address)


class Segment:
    """The segment of a key, in a layout."""

    def __init__(self, key, layout):
        self.key, self.layout = key, LAYOUTS[layout]

    def exists(self):
        return about(self.key) is not None

    def bytes(self):
        with attached(self.key) as memory:
            return bytes(memory)

    def header(self):
        data = self.bytes()
        return {name: struct.unpack_from("=" + form, data, at)[0] for name, (at, form) in FIELDS.items()}

    def nodes(self):
        """The slots in use, by number."""
        data = self.bytes()
        layout, slots = self.layout, {}
        for slot in range(struct.unpack_from("=I", data, 12)[0]):
            at = HEADER + slot * layout.node
            features, rebalance, rack, active = struct.unpack_from("=IIiB", data, at + layout.features)
            slots[slot] = {
                "name": data[at : at + 20].split(b"\0")[0].decode(),
                "lock": struct.unpack_from("=I", data, at + 20)[0],
                "address": address(data[at + 24 : at + 152]),
                "tls_name": data[at + 152 : at + 408].split(b"\0")[0].decode(),
                "features": features, "rebalance": rebalance, "rack": rack, "active": active,
            }
        return slots

    def active(self):
        return {node["name"]: node["address"] for node in self.nodes().values() if node["active"]}

    def tables(self):
        """Of each namespace: replica size, mode, and the entries by name of node."""
        data, header, slots = self.bytes(), self.header(), self.nodes()
        found = {}
        for index in range(header["tables_size"]):
            at = header["tables_offset"] + index * header["table_size"]
            name = data[at : at + 32].split(b"\0")[0].decode()
            factor, strong = data[at + 32], data[at + 33]
            rows = []
            for partition in range(header["n_partitions"]):
                *holders, regime = struct.unpack_from("=IIII", data, at + 40 + 16 * partition)
                if not self.layout.whole:
                    holders, regime = holders[:2], holders[2]
                names = [slots[slot - 1]["name"] if slot - 1 in slots else None for slot in holders if slot]
                rows.append((names, regime))
            found[name] = {"replica_size": factor, "strong": bool(strong), "rows": rows}
        return found

    def write(self, at, form, value):
        with attached(self.key, write=True) as memory:
            struct.pack_into("=" + form, memory, at, value)

    def set(self, field, value):
        at, form = FIELDS[field]
        self.write(at, form, value)

    def lock_of(self, slot):
        return self.nodes()[slot]["lock"]

    def set_lock(self, slot, value):
        """Leaves a slot's lock as a reader or a writer that died in it does."""
        self.write(HEADER + slot * self.layout.node + 20, "I", value)

    def slot_of(self, name):
        slots = [slot for slot, node in self.nodes().items() if node["name"] == name and node["active"]]
        return slots[0] if slots else None


def address(storage):
    """HOST:PORT of a sockaddr."""
    family, port = struct.unpack_from("=H", storage)[0], struct.unpack_from(">H", storage, 2)[0]
    if family == socket.AF_INET:
        return f"{socket.inet_ntop(family, storage[4:8])}:{port}"
    if family == socket.AF_INET6:
        return f"[{socket.inet_ntop(family, storage[8:24])}]:{port}"
    return None
