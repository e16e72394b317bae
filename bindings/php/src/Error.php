<?php

declare(strict_types=1);

namespace Tendmap;

/**
 * The base of all exceptions of tendmap.
 *
 * The texts and the codes are those of the other languages: a text says what was found,
 * what was wanted and what to do; a code is a `tendmap_error` of `tendmap.h`.
 */
class Error extends \RuntimeException
{
    /** The classes by their codes. */
    private const CLASSES = [
        1 => ArgumentError::class,
        2 => ClosedError::class,
        3 => WrongThreadError::class,
        4 => InternalError::class,
        5 => ForkedError::class,
        6 => ReadOnlyError::class,
        10 => ConfigError::class,
        11 => ConnectError::class,
        12 => SegmentError::class,
        13 => OtherClusterError::class,
        14 => OtherHostsError::class,
        15 => TendError::class,
        16 => NoMapYetError::class,
        17 => ThreadError::class,
        18 => DescriptorError::class,
        20 => RouteError::class,
        21 => NoMapError::class,
        22 => ClusterEmptyError::class,
        23 => NamespaceUnknownError::class,
        24 => NoNodeError::class,
        25 => OutOfRangeError::class,
        26 => ForeignHandleError::class,
        27 => MapError::class,
    ];

    /**
     * The exception of a code of the library.
     *
     * @internal
     */
    public static function of(int $code, string $text): self
    {
        $class = self::CLASSES[$code] ?? InternalError::class;
        return new $class($text, $code);
    }
}
