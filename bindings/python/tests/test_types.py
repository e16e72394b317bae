"""Editors, type checkers and help() show what exists."""

import ast
import inspect
import pathlib
import pickle
import subprocess
import sys
import typing

import pytest

import tendmap

STUB = pathlib.Path(tendmap.__file__).with_name("_tendmap.pyi")

#: What the stub leaves out, and why.
LEFT_OUT = """
# Created by PyO3.
tendmap._tendmap.__all__
# For benches/route.py.
tendmap._tendmap._Empty
tendmap._tendmap._batch
tendmap._tendmap._digests
# For tests.
tendmap._tendmap._one_event_of_each
# Literals, which stubtest mistakes for unions.
tendmap._types.Policy
tendmap._types.Role
tendmap._events.Level
# Text at run time: NumPy need not be installed.
tendmap._types.Column
"""

PROGRAM = '''
import array
import asyncio
import datetime
import numpy as np
import tendmap

POLICY: tendmap.Policy = "prefer_rack"

def pick(client: tendmap.Client, key: tendmap.Key) -> str:
    node = client.route("test", "users", key, POLICY)
    route = client.retry(client.locate("test", None, b"raw"))
    nodes: list[tendmap.Node | None] = client.route_batch("test", "users", [1, "ann"])
    more = client.route_batch("test", "users", (key for key in range(3)))
    found = client.route_batch("test", "users", np.arange(3), out=np.zeros(3, dtype=np.uint16))
    if found[0] == tendmap.NO_NODE or nodes[0] is None or more[0] is None:
        return ""
    column = client.route_batch("test", "users", array.array("q", [1]), out=array.array("H", [0]))
    assert column[0] >= 0 and len(client.route_batch("test", "users", memoryview(b""))) == 0
    for event in client.events():
        if event["event"] == "node_added":
            print(event["address"], event["time"])
    status: tendmap.Status = client.status()
    holes: int = status["namespaces"][0]["holes"]
    return node.name + route.node.address + nodes[0].host + more[0].host + str(holes)

async def watch(reader: tendmap.Reader) -> int:
    async with await tendmap.connect("a") as client, tendmap.Client("a", lazy=True) as other:
        print(await other.changed(after=3, timeout="1s"), client.role)
    async for sequence in reader.changes():
        return sequence + await reader.changed()
    with reader.changes() as changes:
        return changes.fileno() + changes.take()

try:
    asyncio.run(watch(tendmap.Reader(shm_key=1)))
    with tendmap.Client([("a", 1), "b:2"], tend_interval=datetime.timedelta(seconds=1)) as client:
        pick(client, 1)
except tendmap.ConnectError as error:
    print(error)
'''

WRONG = [
    ("tendmap.Client('a', shm_kye=1)", "shm_kye"),
    ("tendmap.Client('a').route('test', 'users', 1, 'masters')", "masters"),
    ("tendmap.Client('a').route('test', 'users', None)", "None"),
    ("tendmap.Client('a').status()['nods']", "nods"),
    ("tendmap.Client('a').nodes()[0].name = 'x'", "read-only"),
    ("tendmap.Reader('a')", "argument"),
    ("tendmap.Client('a').events()[0]['nonsense']", "nonsense"),
]


def run(where, *arguments):
    command = [sys.executable, "-m", *arguments]
    ended = subprocess.run(command, cwd=where, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


def test_the_stub_is_what_the_module_has(tmp_path):
    (tmp_path / "left_out").write_text(LEFT_OUT)
    code, text = run(tmp_path, "mypy.stubtest", "tendmap", "--allowlist", "left_out")
    assert code == 0, text


def test_a_typed_program_passes_strict_and_wrong_ones_do_not(tmp_path):
    (tmp_path / "good.py").write_text(PROGRAM)
    (tmp_path / "bad.py").write_text("\n".join(["import tendmap", *(code for code, _ in WRONG)]))
    code, text = run(tmp_path, "mypy", "--strict", "good.py")
    assert code == 0, text
    code, text = run(tmp_path, "mypy", "--strict", "bad.py")
    for number, (wrong, said) in enumerate(WRONG, 2):
        assert any(f":{number}: error" in line and said in line for line in text.split("\n")), (
            wrong,
            text,
        )


def documented():
    """Every object with a docstring in the stub, and that docstring."""
    for item in ast.parse(STUB.read_text()).body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
            yield getattr(tendmap, item.name), ast.get_docstring(item)
        if isinstance(item, ast.ClassDef) and not item.name.startswith("_"):
            kind = getattr(tendmap, item.name)
            whole = [ast.get_docstring(item)]
            for member in item.body:
                if not isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) or not ast.get_docstring(member):
                    continue
                if member.name.startswith("__"):
                    assert member.name == "__new__"
                    whole.append(ast.get_docstring(member))
                else:
                    yield inspect.getattr_static(kind, member.name), ast.get_docstring(member)
            yield kind, "\n\n".join(whole)


def test_help_tells_what_the_stub_tells():
    found = list(documented())
    assert len(found) > 40
    for thing, wanted in found:
        assert inspect.cleandoc(thing.__doc__) == wanted, thing


def test_everything_public_has_a_docstring_a_signature_and_a_home():
    for name in tendmap.__all__:
        thing = getattr(tendmap, name)
        if not inspect.isclass(thing) and not inspect.isbuiltin(thing):
            continue
        assert thing.__doc__ and thing.__module__ == "tendmap", name
        if inspect.isbuiltin(thing):
            assert inspect.signature(thing), name
        for part, member in vars(thing).items() if inspect.isclass(thing) else []:
            if part.startswith("_") or part == "code" or issubclass(thing, dict):
                continue
            assert member.__doc__, (name, part)
            assert member.__qualname__ == f"{name}.{part}"
            if callable(member):
                assert "self" in inspect.signature(member).parameters, (name, part)


def test_the_signature_names_every_setting():
    parameters = inspect.signature(tendmap.Client).parameters
    with pytest.raises(tendmap.ConfigError, match="no setting") as raised:
        tendmap.Client("a", nonsense=1)
    settings = str(raised.value).partition("there are ")[2].split(", ")
    assert [name for name in parameters if name != "lazy"] == settings
    # Every default can be passed, and changes nothing.
    given = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not parameter.empty
    }
    tendmap.Client("a", **{**given, "lazy": True})
    about = inspect.signature(tendmap.status).parameters
    assert all(about[name].default == parameters[name].default for name in about)


def test_a_status_has_the_fields_of_its_type(client):
    def fits(value, wanted):
        if typing.is_typeddict(wanted):
            hints = typing.get_type_hints(wanted)
            return list(value) == list(hints) and all(
                fits(value[name], hint) for name, hint in hints.items()
            )
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if origin is list:
            return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
        if origin is typing.Literal:
            return value in arguments
        if arguments:
            return any(fits(value, one) for one in arguments)
        return type(value) is wanted

    status = client.status()
    assert list(status) == list(typing.get_type_hints(tendmap.Status))
    assert fits(status, tendmap.Status), status


def test_exceptions_are_pickled_and_shown_with_their_text():
    kinds = [getattr(tendmap, name) for name in tendmap.__all__ if name.endswith("Error")]
    assert len(kinds) == 27
    for kind in kinds:
        error = pickle.loads(pickle.dumps(kind("found, wanted")))
        assert type(error) is kind and str(error) == "found, wanted"
