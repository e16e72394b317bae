"""A network, System V memory, /dev/shm and processes that are nobody else's.

Everything that a run starts ends with it, and every key and port is its own.
"""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time

import shm
from clients import skipped

INSIDE = "TENDMAP_OFFICIAL_PRIVATE"
FLAGS = ["--net", "--ipc", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
UP = 1  # IFF_UP
GET_FLAGS, SET_FLAGS = 0x8913, 0x8914


def enter():
    """Starts this program once more in namespaces of its own; returns inside."""
    if os.environ.get(INSIDE) == str(os.getpid()):
        prepare()
        return
    flags = next((flags for flags in (FLAGS, ["--user", "--map-root-user", *FLAGS]) if possible(flags)), None)
    if flags is None:
        skipped("this user may not unshare: the scenarios need namespaces of their own")
        sys.exit(0)
    os.environ[INSIDE] = "1"  # as which it starts again there
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])


def possible(flags):
    return shutil.which("unshare") and subprocess.run(
        ["unshare", *flags, "true"], capture_output=True
    ).returncode == 0


def prepare():
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, GET_FLAGS, request))[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"mode=1777") != 0:
        raise OSError(ctypes.get_errno(), "mount /dev/shm")


def left_behind(patience=10):
    """What a run has left: processes beside this one, segments, files."""
    deadline = time.monotonic() + patience
    # Killed processes take a moment to end.
    while (left := beside()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def beside():
    others = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                name, state = file.read().rsplit(")", 1)
        except OSError:
            continue
        if int(pid) != os.getpid() and state.split()[0] != "Z":
            others.append(name.split("(", 1)[1])
    segments = [f"segment {row['key']:#x}" for row in shm.all_segments()]
    files = [f"/dev/shm/{name}" for name in os.listdir("/dev/shm")]
    return others + segments + files
