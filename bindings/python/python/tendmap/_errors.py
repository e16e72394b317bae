"""The exceptions of tendmap, all under :class:`Error`.

They match the errors of the Rust library; the texts are the same, and say what
was found, what was wanted and what to do.
"""


class Error(Exception):
    """Whatever tendmap raises. (What your own code raises while tendmap calls it,
    an iterator of keys say, goes through as it is.)"""


class ArgumentError(Error, ValueError):
    """An argument that no call can take."""


class ArgumentTypeError(Error, TypeError):
    """An argument of a type that the call does not take."""


class ArgumentRangeError(ArgumentError, OverflowError):
    """A number that is too large or too small."""


class TextError(ArgumentError, UnicodeError):
    """A text that UTF-8 can't hold."""


class ClosedError(Error):
    """The client, or the simulated cluster, is closed."""


class InternalError(Error):
    """A defect in tendmap, caught before it could do harm."""


class ConnectError(Error):
    """Connecting failed."""


class ConfigError(ConnectError, ValueError):
    """A setting is unknown or out of its range."""


class SegmentError(ConnectError):
    """The segment's files can't be made, attached or looked at."""


class OtherClusterError(ConnectError):
    """The segment is of another cluster."""


class OtherHostsError(ConnectError):
    """This process is connected under the key with other hosts."""


class TendError(ConnectError):
    """The cluster can't be tended: no server answers as it should."""


class NoMapYetError(ConnectError, TimeoutError):
    """The owner has published no map in time."""


class ThreadError(ConnectError):
    """No thread can be started."""


class RouteError(Error):
    """Routing failed."""


class NoMapError(RouteError):
    """No map was published yet."""


class ClusterEmptyError(RouteError):
    """The cluster has no nodes."""


class NamespaceUnknownError(RouteError, LookupError):
    """No namespace of that name."""


class NoNodeError(RouteError):
    """No node of the partition may be used; try again after the next tend."""


class OutOfRangeError(RouteError, ValueError):
    """A partition that no namespace has."""


class MapError(ConnectError, RouteError):
    """The map in the segment is damaged."""


#: By the numbers that the errors have in the C ABI.
BY_KIND = {
    1: ArgumentError,
    2: ClosedError,
    3: InternalError,
    4: InternalError,
    10: ConfigError,
    11: ConnectError,
    12: SegmentError,
    13: OtherClusterError,
    14: OtherHostsError,
    15: TendError,
    16: NoMapYetError,
    17: ThreadError,
    20: RouteError,
    21: NoMapError,
    22: ClusterEmptyError,
    23: NamespaceUnknownError,
    24: NoNodeError,
    25: OutOfRangeError,
    26: InternalError,
    27: MapError,
}

for _class in {Error, ArgumentTypeError, ArgumentRangeError, TextError, *BY_KIND.values()}:
    _class.__module__ = "tendmap"
del _class
