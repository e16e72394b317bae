<?php

declare(strict_types=1);

namespace Tendmap\Internal;

use FFI;
use FFI\CData;
use Tendmap\Error;

/**
 * A descriptor of the C library. It has the methods of Tendmap\Extension\Changes.
 *
 * @internal
 */
final class FfiChanges
{
    /** @var LibraryCalls */
    private readonly object $library;
    private ?CData $changes = null;

    /** @param LibraryCalls $library */
    public function __construct(object $library, CData $changes)
    {
        $this->library = $library;
        $this->changes = $changes;
        Unclosed::add($this);
    }

    public function __destruct()
    {
        $this->close();
    }

    /** Two objects would free one descriptor. */
    private function __clone(): void
    {
    }

    public function close(): void
    {
        $changes = $this->changes;
        $this->changes = null;
        if ($changes !== null) {
            $this->library->tendmap_changes_free($changes);
        }
    }

    public function fd(): int
    {
        $fd = $this->library->tendmap_changes_fd($this->changes());
        return $fd >= 0 ? $fd : throw $this->error();
    }

    public function take(): int
    {
        $sequence = $this->library->new('uint64_t');
        if ($this->library->tendmap_changes_take($this->changes(), FFI::addr($sequence)) !== 0) {
            throw $this->error();
        }
        assert(is_int($sequence->cdata));
        return $sequence->cdata;
    }

    private function changes(): CData
    {
        return $this->changes ?? throw Error::of(2, 'the handle for changes is closed');
    }

    private function error(): Error
    {
        return Error::of($this->library->tendmap_last_error_code(), $this->library->tendmap_last_error());
    }
}
