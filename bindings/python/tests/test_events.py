"""Every event has a type."""

import ast
import pathlib
import typing

import tendmap
from tendmap import _events, _tendmap


def test_every_kind_of_event_has_a_type_with_its_fields():
    kinds = {typing.get_args(typing.get_type_hints(kind)["event"])[0]: kind for kind in typing.get_args(tendmap.Event)}
    events = _tendmap._one_event_of_each()
    assert {event["event"] for event in events} == set(kinds)
    for event in events:
        hints = typing.get_type_hints(kinds[event["event"]])
        assert list(event) == list(hints), event
        for name, value in event.items():
            wanted = hints[name]
            arguments = typing.get_args(wanted)
            if typing.get_origin(wanted) is typing.Literal:
                assert value in arguments, (name, value)
            elif typing.get_origin(wanted) is list:
                assert all(type(item) is arguments[0] for item in value)
            else:
                assert type(value) in (arguments or (wanted,)), (event, name)


def test_events_of_a_client_are_of_these_types(client):
    known = {typing.get_args(typing.get_type_hints(kind)["event"])[0] for kind in typing.get_args(tendmap.Event)}
    found = client.events()
    assert found and {event["event"] for event in found} <= known


def test_all_types_are_in_the_union():
    source = ast.parse(pathlib.Path(_events.__file__).read_text())
    classes = [item.name for item in source.body if isinstance(item, ast.ClassDef)]
    named = [kind.__name__ for kind in typing.get_args(tendmap.Event)]
    assert set(classes) <= set(named) and len(named) == len(set(named))
