"""The command line: `python -m tendmap`, and the script `tendmap` of the package."""

import os
import signal
import sys
from typing import NoReturn

from ._tendmap import _main


def main() -> NoReturn:
    """Runs one command and ends the process with its exit code."""
    # The command handles signals itself, or they end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.flush()
    program = [sys.executable, "-m", "tendmap"]
    code = _main(program, sys.argv[1:])
    # Threads may remain that the interpreter should not wait for.
    os._exit(code)


if __name__ == "__main__":
    main()
