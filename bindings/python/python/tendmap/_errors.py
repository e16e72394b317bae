"""The exceptions of tendmap, all subclasses of :class:`Error`.

They match the errors of the Rust library. The texts are the same, and say what was
found, what was wanted and what to do.
"""


class Error(Exception):
    """The base of all exceptions of tendmap. (An exception of your own code that
    tendmap calls, such as an iterator of keys, is passed on unchanged.)"""

    #: The number of its kind, a ``tendmap_error`` of tendmap.h, the same in every language.
    code: int


class ArgumentError(Error, ValueError):
    """An invalid argument."""


class ArgumentTypeError(Error, TypeError):
    """An argument of a type that the call does not accept."""


class ArgumentRangeError(ArgumentError, OverflowError):
    """A number that is too large or too small."""


class TextError(ArgumentError, UnicodeError):
    """A text that can't be encoded as UTF-8."""


class ClosedError(Error):
    """The client, or the simulated cluster, is closed."""


class WrongThreadError(Error):
    """The handle belongs to another thread. (Python's handles belong to all threads.)"""


class InternalError(Error):
    """A defect in tendmap, caught before it could do harm."""


class ForkedError(Error):
    """The handle belongs to the process from which this one was forked."""


class ReadOnlyError(Error):
    """The call needs a client; a reader only reads."""


class DescriptorError(Error):
    """No descriptor can be opened, or the program has closed it."""


class ConnectError(Error):
    """Connecting failed."""


class ConfigError(ConnectError, ValueError):
    """A setting is unknown or out of its range."""


class SegmentError(ConnectError):
    """The segment's files can't be created, attached or read."""


class OtherClusterError(ConnectError):
    """The segment belongs to another cluster."""


class OtherHostsError(ConnectError):
    """This process is already connected under the key, with other hosts."""


class TendError(ConnectError):
    """The cluster can't be tended: no server gives a valid answer."""


class NoMapYetError(ConnectError, TimeoutError):
    """The owner did not publish a map in time."""


class ThreadError(ConnectError):
    """A thread can't be started."""


class RouteError(Error):
    """Routing failed."""


class NoMapError(RouteError):
    """No map has been published yet."""


class ClusterEmptyError(RouteError):
    """The cluster has no nodes."""


class NamespaceUnknownError(RouteError, LookupError):
    """The cluster has no namespace of that name."""


class NoNodeError(RouteError):
    """No node of the partition may be used; try again after the next tend."""


class OutOfRangeError(RouteError, ValueError):
    """A partition number that is out of range."""


class ForeignHandleError(RouteError):
    """The namespace handle belongs to another router. (Python has no such handles.)"""


class MapError(ConnectError, RouteError):
    """The map in the segment is damaged."""


#: The classes by the numbers of the errors in the C ABI.
BY_KIND = {
    1: ArgumentError,
    2: ClosedError,
    3: WrongThreadError,
    4: InternalError,
    5: ForkedError,
    6: ReadOnlyError,
    10: ConfigError,
    11: ConnectError,
    12: SegmentError,
    13: OtherClusterError,
    14: OtherHostsError,
    15: TendError,
    16: NoMapYetError,
    17: ThreadError,
    18: DescriptorError,
    20: RouteError,
    21: NoMapError,
    22: ClusterEmptyError,
    23: NamespaceUnknownError,
    24: NoNodeError,
    25: OutOfRangeError,
    26: ForeignHandleError,
    27: MapError,
}

for _number, _class in BY_KIND.items():
    _class.code = _number
ArgumentTypeError.code = ArgumentError.code
for _class in {Error, ArgumentTypeError, ArgumentRangeError, TextError, *BY_KIND.values()}:
    _class.__module__ = "tendmap"
del _class, _number
