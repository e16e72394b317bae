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
    private const LONGEST_MS = 31_536_000_000;

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

    /** A text; an inner zero byte would end it in C. */
    public static function text(
        string $what,
        #[\SensitiveParameter]
        mixed $text,
    ): string {
        if (!is_string($text)) {
            throw Error::of(1, "$what of type " . get_debug_type($text) . '; wanted a string');
        }
        if (str_contains($text, "\0")) {
            throw Error::of(1, "$what with a zero byte; only keys may have one");
        }
        return $text;
    }

    /**
     * Racks by their numbers.
     *
     * @return list<int>
     */
    public static function racks(mixed $racks): array
    {
        if (!is_array($racks)) {
            throw Error::of(1, 'racks of type ' . get_debug_type($racks) . '; wanted an array of numbers');
        }
        $read = [];
        foreach ($racks as $rack) {
            if (!is_int($rack) || $rack < -2_147_483_648 || $rack > 2_147_483_647) {
                $found = is_int($rack) ? (string) $rack : 'of type ' . get_debug_type($rack);
                throw Error::of(1, "a rack $found; wanted a number of 32 bits");
            }
            $read[] = $rack;
        }
        return $read;
    }

    /** Seconds as milliseconds, rounded up, so that a short wait is not none. */
    public static function milliseconds(string $what, mixed $seconds): int
    {
        if (!is_int($seconds) && !is_float($seconds)) {
            throw Error::of(1, "$what of type " . get_debug_type($seconds) . '; wanted seconds, an int or a float');
        }
        // Not a number is neither.
        if (!($seconds >= 0 && $seconds * 1000 <= self::LONGEST_MS)) {
            throw Error::of(1, "$what of " . var_export($seconds, true) . ' s; wanted 0 s to 365 days');
        }
        return (int) ceil($seconds * 1000);
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
            is_array($value) => self::list($name, $value),
            default => throw Error::of(
                1,
                "$name of type " . get_debug_type($value) . '; wanted a string, a number, a bool or a list',
            ),
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
            $part = is_int($part) && $name !== 'hosts' ? (string) $part : self::text("$name: a part", $part);
            if (str_contains($part, ',')) {
                throw Error::of(1, "$name: a part with a comma; give each part by itself");
            }
            $parts[] = is_string($key) ? "$key=$part" : $part;
        }
        return implode(',', $parts);
    }
}
