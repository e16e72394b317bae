"""Routes keys to the nodes of a partitioned database cluster.

One process of a host tends the cluster: it polls the servers and keeps the map, which
says which node holds which partition, in shared memory. All other processes, in any
language, read the map there. They need no connection to route a key. When the process
that tends ends, another takes over.

    import tendmap

    client = tendmap.Client("127.0.0.1:3000", shm_key=0xA7000000)
    node = client.route("test", "users", 42)
    print(node.name, node.address)

A client may be created before a fork and used after it, by any thread. A `Reader` only
reads, and `tendmap.connect` is for asyncio. See docs/PREFORK.md of the project for
gunicorn, uWSGI, Celery and others.
"""

import atexit as _atexit

# The extension uses it. It is imported here and not at the first call: a fork during the
# import would leave the child with an import lock that is never released.
import json as _json  # noqa: F401

from . import _interpreter

_interpreter.check()

from . import _log  # noqa: E402, F401

# Now that the extension was imported.
_interpreter.check_lock()

from ._asyncio import connect
from ._errors import (
    ArgumentError,
    ArgumentRangeError,
    ArgumentTypeError,
    ClosedError,
    ClusterEmptyError,
    ConfigError,
    ConnectError,
    DescriptorError,
    Error,
    ForeignHandleError,
    ForkedError,
    InternalError,
    MapError,
    NamespaceUnknownError,
    NoMapError,
    NoMapYetError,
    NoNodeError,
    OtherClusterError,
    OtherHostsError,
    OutOfRangeError,
    ReadOnlyError,
    RouteError,
    SegmentError,
    TendError,
    TextError,
    ThreadError,
    WrongThreadError,
)
from ._events import Event
from ._tendmap import (
    NO_NODE,
    Changes,
    Client,
    Node,
    Reader,
    Route,
    SimulatedCluster,
    __version__,
    _end,
    digest,
    status,
)
from ._types import Column, Key, NamespaceStatus, NodeStatus, Policy, Role, Seconds, Status

# Runs after what the program registers from now on.
_atexit.register(_end)

# The module from which users import them.
for _object in (connect, digest, status, NamespaceStatus, NodeStatus, Status):
    _object.__module__ = "tendmap"
del _object

__all__ = [
    "NO_NODE",
    "ArgumentError",
    "ArgumentRangeError",
    "ArgumentTypeError",
    "Changes",
    "Client",
    "ClosedError",
    "ClusterEmptyError",
    "Column",
    "ConfigError",
    "ConnectError",
    "DescriptorError",
    "Error",
    "Event",
    "ForeignHandleError",
    "ForkedError",
    "InternalError",
    "Key",
    "MapError",
    "NamespaceStatus",
    "NamespaceUnknownError",
    "NoMapError",
    "NoMapYetError",
    "NoNodeError",
    "Node",
    "NodeStatus",
    "OtherClusterError",
    "OtherHostsError",
    "OutOfRangeError",
    "Policy",
    "ReadOnlyError",
    "Reader",
    "Role",
    "Route",
    "RouteError",
    "Seconds",
    "SegmentError",
    "SimulatedCluster",
    "Status",
    "TendError",
    "TextError",
    "ThreadError",
    "WrongThreadError",
    "__version__",
    "connect",
    "digest",
    "status",
]
