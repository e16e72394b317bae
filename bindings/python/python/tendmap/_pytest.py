"""The plugin for pytest, which finds it by itself; `tendmap.testing` describes it."""

import pytest

from .testing import tendmap_client, tendmap_cluster

__all__ = ["pytest_configure", "tendmap_client", "tendmap_cluster"]


def pytest_configure(config: pytest.Config) -> None:
    """Makes the mark known."""
    arguments = "tendmap(nodes=3, *, namespaces=None, …)"
    config.addinivalue_line("markers", f"{arguments}: the arguments of the SimulatedCluster")
