<?php

declare(strict_types=1);

namespace Tendmap\Internal;

use Tendmap\Error;

/**
 * Arguments and settings, checked here: without strict_types in the caller, PHP would
 * convert numbers to texts, and other values to numbers.
 *
 * @internal
 */
final class Settings
{
    /** Settings whose value may be any text, and nothing else. */
    private const TEXTS = ['cluster_name', 'user', 'password', 'tls_cafile', 'tls_certfile',
        'tls_keyfile', 'shm_directory'];
    /** Settings of mode bits, which PHP writes as octal numbers. */
    private const MODES = ['shm_mode', 'c_client_mode'];
    /** Settings of several values. */
    private const LISTS = ['hosts', 'preferred_racks', 'shm_owner', 'c_client', 'ip_map'];
    private const LONGEST_MS = 31_536_000_000;
    private const DURATION = 'wanted seconds, or a number with ms, s, m or h, such as 500ms';

    /**
     * Every setting as a text, as tendmap_config_set() wants it.
     *
     * @return array<string, string>
     */
    public static function read(
        mixed $hosts,
        #[\SensitiveParameter]
        mixed $settings,
    ): array {
        if (!is_array($settings)) {
            throw Error::of(1, 'settings of type ' . get_debug_type($settings) . '; wanted an array');
        }
        $read = [];
        if ($hosts !== null) {
            $read['hosts'] = is_array($hosts) ? self::list('hosts', $hosts) : self::text('hosts', $hosts);
        }
        foreach ($settings as $name => $value) {
            $name = self::text('the name of a setting', $name);
            if ($value !== null) {
                $read[$name] = self::value($name, $value);
            }
        }
        return $read;
    }

    /** The text of a setting; an inner zero byte would end it in C. */
    public static function text(
        string $what,
        #[\SensitiveParameter]
        mixed $text,
    ): string {
        if (!is_string($text)) {
            throw self::wrongType($what, $text, 'a string');
        }
        if (str_contains($text, "\0")) {
            throw Error::of(10, "$what has a zero byte; wanted text without it");
        }
        return $text;
    }

    /** The name of a namespace or a set. */
    public static function name(string $what, string $name): void
    {
        if (str_contains($name, "\0")) {
            throw Error::of(1, "$what has a zero byte; only keys may have one");
        }
    }

    /**
     * Racks by their numbers.
     *
     * @return list<int>
     */
    public static function racks(mixed $racks): array
    {
        if (!is_array($racks)) {
            throw self::wrongType('preferred_racks', $racks, 'an array of numbers');
        }
        $read = [];
        foreach ($racks as $rack) {
            if (!is_int($rack)) {
                throw self::wrongItem('preferred_racks', $rack, 'numbers');
            }
            $read[] = $rack;
        }
        foreach ($read as $rack) {
            if ($rack < -2_147_483_648 || $rack > 2_147_483_647) {
                throw Error::of(10, 'preferred_racks is "' . implode(',', $read)
                    . '"; wanted whole numbers of 32 bits, separated by commas, the best first');
            }
        }
        return $read;
    }

    /** A timeout in seconds as milliseconds; null = for ever. */
    public static function timeout(mixed $seconds): ?int
    {
        $wanted = 'seconds from 0 on, or null to wait for ever';
        if ($seconds === null) {
            return null;
        }
        if (!is_int($seconds) && !is_float($seconds)) {
            throw self::wrongType('timeout', $seconds, $wanted);
        }
        // Not a number is neither.
        if (!($seconds >= 0)) {
            throw Error::of(1, 'timeout is ' . var_export($seconds, true) . "; wanted $wanted");
        }
        return $seconds * 1000 > self::LONGEST_MS ? null : self::milliseconds($seconds);
    }

    /** The seconds of tend_interval as milliseconds; too many are refused by the library. */
    public static function interval(mixed $seconds): int
    {
        if (!is_int($seconds) && !is_float($seconds) && !is_bool($seconds)) {
            throw self::wrongType('tend_interval', $seconds, 'seconds, an int or a float');
        }
        if (is_bool($seconds) || !($seconds >= 0) || is_infinite($seconds)) {
            throw Error::of(10, 'tend_interval is "' . var_export($seconds, true) . '"; ' . self::DURATION);
        }
        return self::milliseconds(min($seconds, self::LONGEST_MS));
    }

    /** Rounded up, so that a short wait is not none. */
    private static function milliseconds(int|float $seconds): int
    {
        return (int) ceil($seconds * 1000);
    }

    private static function wrongType(
        string $what,
        #[\SensitiveParameter]
        mixed $found,
        string $wanted,
    ): Error {
        return Error::of(1, "$what of type " . get_debug_type($found) . "; wanted $wanted");
    }

    private static function wrongItem(
        string $what,
        #[\SensitiveParameter]
        mixed $found,
        string $wanted,
    ): Error {
        return Error::of(1, "$what has an item of type " . get_debug_type($found) . "; wanted $wanted");
    }

    /** A float keeps its decimal point, so that it never becomes an integer. */
    private static function value(
        string $name,
        #[\SensitiveParameter]
        mixed $value,
    ): string {
        return match (true) {
            is_string($value), in_array($name, self::TEXTS, true) => self::text($name, $value),
            is_int($value) => in_array($name, self::MODES, true) ? sprintf('%04o', $value) : (string) $value,
            is_float($value), is_bool($value) => var_export($value, true),
            is_array($value) && in_array($name, self::LISTS, true) => self::list($name, $value),
            default => throw self::wrongType($name, $value, 'a string, a number or a bool'),
        };
    }

    /**
     * A list as the text that the library reads: its parts, separated by commas.
     *
     * @param array<mixed> $list
     */
    private static function list(string $name, array $list): string
    {
        $parts = [];
        foreach ($list as $key => $part) {
            if (!is_string($part) && (!is_int($part) || $name === 'hosts')) {
                throw self::wrongItem($name, $part, $name === 'hosts' ? 'strings' : 'strings or numbers');
            }
            $words = is_string($key) ? [$key, (string) $part] : [(string) $part];
            foreach ($words as $word) {
                if (strpbrk(self::text($name, $word), $name === 'ip_map' ? ',=' : ',') !== false) {
                    $wanted = $name === 'ip_map' ? 'names without comma and =' : 'one without a comma';
                    throw Error::of(10, "$name has \"" . addcslashes($word, '"\\') . "\"; wanted $wanted");
                }
            }
            $parts[] = implode('=', $words);
        }
        return implode(',', $parts);
    }
}
