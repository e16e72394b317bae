<?php

/** What FFI offers at run time, for mago: its own stubs have none of it. */

declare(strict_types=1);

namespace FFI;

/** @implements \ArrayAccess<int, mixed> */
final class CData implements \ArrayAccess
{
    public function __get(string $name): mixed
    {
    }

    public function __set(string $name, mixed $value): void
    {
    }

    public function offsetExists(mixed $offset): bool
    {
    }

    public function offsetGet(mixed $offset): mixed
    {
    }

    public function offsetSet(mixed $offset, mixed $value): void
    {
    }

    public function offsetUnset(mixed $offset): void
    {
    }
}
