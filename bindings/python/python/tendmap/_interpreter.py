"""Refuses interpreters in which the extension does not work."""

import sys
from importlib import import_module
from typing import Any


def check() -> None:
    """Raises ImportError in a subinterpreter: the extension has one state for the whole
    process, and its objects would belong to another interpreter."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            known = import_module(name)
        except ImportError:
            continue
        if _number(known.get_current()) != _number(known.get_main()):
            raise ImportError(
                "tendmap can't be used in a subinterpreter: import it in the main interpreter "
                "(mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
            )
        return


def check_lock() -> None:
    """Raises ImportError in a free-threaded interpreter that was told to go without its lock.
    Without that, it switches its lock on when it imports the extension."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    if enabled is not None and not enabled():
        raise ImportError(
            "tendmap needs the interpreter's lock, which is switched off: unset PYTHON_GIL, and "
            "don't start Python with -X gil=0"
        )


def _number(interpreter: Any) -> int:
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)
