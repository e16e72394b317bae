"""The scenarios: each is a function of a host that yields rows of the table.

A row is its title and what was seen. A scenario demands of a host with tendmap what
docs/C-CLIENT.md promises, and only shows what a host with official clients alone
does.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Callable

SCENARIOS = {}


@dataclass(frozen=True)
class Scenario:
    name: str
    run: Callable
    fast: bool
    only_with_tendmap: bool
    clients: tuple  # one host for each


def scenario(fast=False, only_with_tendmap=False, clients=("python-19.3",)):
    def register(function):
        SCENARIOS[function.__name__] = Scenario(
            function.__name__, function, fast, only_with_tendmap, clients
        )
        return function
    return register


def load():
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return SCENARIOS
