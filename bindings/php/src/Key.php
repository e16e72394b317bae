<?php

declare(strict_types=1);

namespace Tendmap;

/**
 * A key that PHP has no type of its own for. Integers and texts need no such object:
 * `42` and `"42"` are two keys.
 */
final readonly class Key
{
    /** @internal kinds, by the type bytes of Aerospike; 0 = a digest */
    public const DIGEST = 0;
    /** @internal */
    public const INTEGER = 1;
    /** @internal */
    public const DOUBLE = 2;
    /** @internal */
    public const STRING = 3;
    /** @internal */
    public const BYTES = 4;

    private function __construct(
        /** @internal */
        public int $kind,
        /** @internal */
        public float|string $value,
    ) {
    }

    /**
     * Raw bytes. (Not the same key as a text of those bytes.)
     *
     * @param string $bytes
     */
    public static function bytes(mixed $bytes): self
    {
        return new self(self::BYTES, self::text('bytes', $bytes));
    }

    /**
     * A floating point key, by its bits: 0.0 and -0.0 are two keys.
     *
     * @param float $value
     */
    public static function double(mixed $value): self
    {
        if (!is_float($value)) {
            throw Error::of(1, 'a double of type ' . get_debug_type($value) . '; wanted a float');
        }
        return new self(self::DOUBLE, $value);
    }

    /**
     * The 20 bytes of a digest, computed elsewhere. The set is not used then.
     *
     * @param string $digest
     */
    public static function digest(mixed $digest): self
    {
        $digest = self::text('a digest', $digest);
        if (strlen($digest) !== 20) {
            throw Error::of(1, 'digest of ' . strlen($digest) . ' bytes; wanted 20');
        }
        return new self(self::DIGEST, $digest);
    }

    /**
     * Checked, as serialised text may come from anywhere.
     *
     * @param array<string, mixed> $data
     */
    public function __unserialize(array $data): void
    {
        $value = $data['value'] ?? null;
        $key = match ($data['kind'] ?? null) {
            self::BYTES => self::bytes($value),
            self::DOUBLE => self::double($value),
            self::DIGEST => self::digest($value),
            default => throw Error::of(1, 'a serialized key of an unknown kind; wanted one of this version'),
        };
        $this->kind = $key->kind;
        $this->value = $key->value;
    }

    private static function text(string $what, mixed $text): string
    {
        if (!is_string($text)) {
            throw Error::of(1, "$what of type " . get_debug_type($text) . '; wanted a string');
        }
        return $text;
    }
}
