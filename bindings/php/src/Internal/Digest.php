<?php

declare(strict_types=1);

namespace Tendmap\Internal;

use Tendmap\Error;
use Tendmap\Key;

/**
 * Digests of keys, for batches through FFI: PHP's own RIPEMD-160 is faster than a call of
 * the library for each key.
 *
 * @internal
 */
final class Digest
{
    /** @param int|string|array{int, float|string} $key other keys with their kinds */
    public static function of(string $set, int|string|array $key): string
    {
        if (is_int($key)) {
            return hash('ripemd160', $set . "\x01" . pack('J', $key), true);
        }
        if (is_string($key)) {
            if (preg_match('//u', $key) !== 1) {
                throw Error::of(1, 'key is not UTF-8: it has other bytes; for raw bytes there is Key::bytes()');
            }
            return hash('ripemd160', $set . "\x03" . $key, true);
        }
        [$kind, $value] = $key;
        return match ($kind) {
            Key::DIGEST => (string) $value,
            Key::DOUBLE => hash('ripemd160', $set . "\x02" . pack('E', $value), true),
            default => hash('ripemd160', $set . "\x04" . $value, true),
        };
    }
}
