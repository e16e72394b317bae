"""The scenarios: each is a function of a host that yields rows of the table.

A row is its title and what was seen. A scenario demands of a host with tendmap what
docs/C-CLIENT.md promises, and only shows what a host with official clients alone
does.
"""

import importlib
from dataclasses import dataclass
from typing import Callable

from clients import NEWEST

SCENARIOS = {}
# In the order of the table.
MODULES = ["attaching", "membership", "cluster_settings", "access", "ownership", "faults",
           "long", "diagnosing", "refusals"]


@dataclass(frozen=True)
class Scenario:
    name: str
    run: Callable
    clients: tuple  # one host for each
    fast: tuple  # those that a fast run takes
    only_with_tendmap: bool


def scenario(clients=(NEWEST,), fast=(), only_with_tendmap=False):
    def register(function):
        SCENARIOS[function.__name__] = Scenario(
            function.__name__, function, clients, fast, only_with_tendmap
        )
        return function
    return register


def load():
    for module in MODULES:
        importlib.import_module(f"{__name__}.{module}")
    return SCENARIOS
