"""Interpreters in which the extension does not work say so."""

import subprocess
import sys

import pytest

PROGRAM = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import tendmap
assert tendmap.digest(None, 1)
number = interpreters.create()
code = '''
try:
    import tendmap
except ImportError as error:
    print(type(error).__name__, error, flush=True)
else:
    print("imported", flush=True)
'''
(getattr(interpreters, "run_string", None) or interpreters.exec)(number, code)
interpreters.destroy(number)
print(tendmap.digest(None, 1).hex()[:2])
"""


def test_a_subinterpreter_is_refused_and_the_first_one_goes_on():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    if "No module named '_xxsubinterpreters'" in ended.stderr:
        pytest.skip("skipped: this Python has no module for subinterpreters")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("ImportError tendmap can't be used in a subinterpreter"), ended.stdout
    assert ended.stdout.count("\n") == 2 and ended.stderr == ""


def test_h222_an_interpreter_without_its_lock_is_refused():
    program = "import sys; sys._is_gil_enabled = lambda: {}; import tendmap"
    command = [sys.executable, "-c", program.format(False)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("ImportError: tendmap needs the interpreter's lock") and "PYTHON_GIL" in last
    subprocess.run([sys.executable, "-c", program.format(True)], check=True, timeout=60)
