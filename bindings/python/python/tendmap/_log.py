"""What the library logs, for `logging`.

The library's own threads never wait for the interpreter: they put lines into a queue. A
daemon thread of each process takes them from there, from the first use of tendmap in that
process on. A forked child has its own.
"""

import _thread
import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import _tendmap

logger = logging.getLogger("tendmap")

# Held while lines are passed on, so that the end of a program waits for the lines that the
# thread has taken. It is one of the system even under gevent.
_passing = _thread.allocate_lock()
# How long the end waits for a handler, in seconds.
_PATIENCE = 5


def begin() -> None:
    """Makes this process's queue and thread, if there are none. The extension calls it."""
    descriptor = _tendmap._log()
    if descriptor is not None:
        _renew()
        start, read = _real()
        start(_serve, (descriptor, read))


def _renew() -> None:
    """Makes the lock of this process: a forked child may have inherited it held."""
    global _passing
    _passing = _thread.allocate_lock()


def _real() -> tuple[Callable[..., Any], Callable[[int, int], bytes]]:
    """Functions that start a thread of the system and wait in it, even where a library
    has replaced them by those of its own event loop."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return monkey.get_original("_thread", "start_new_thread"), os.read
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        original = patcher.original
        return original("_thread").start_new_thread, original("os").read
    return _start, os.read


def _start(work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=work, args=arguments, name="tendmap-log", daemon=True).start()


def _serve(descriptor: int, read: Callable[[int, int], bytes]) -> None:
    while True:
        # The interpreter waits here, not the extension: at its end it stops the thread.
        read(descriptor, 8)
        with _passing:
            drain()


def drain() -> None:
    """Passes on what has not been passed on yet."""
    for level, name, text, created in _tendmap._take_log():
        target = logging.getLogger(name)
        if target.isEnabledFor(level):
            record = target.makeRecord(name, level, "(tendmap)", 0, text, (), None)
            record.created = created
            record.msecs = created % 1 * 1000
            target.handle(record)


def _end() -> None:
    passing = _passing
    held = passing.acquire(timeout=_PATIENCE)
    try:
        drain()
    finally:
        if held:
            passing.release()


os.register_at_fork(after_in_child=_renew)
# Before `logging` closes its handlers.
atexit.register(_end)
