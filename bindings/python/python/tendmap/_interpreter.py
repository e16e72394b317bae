"""Refuses interpreters in which the extension does not work."""

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


def _number(interpreter: Any) -> int:
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)
