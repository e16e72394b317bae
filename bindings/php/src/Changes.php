<?php

declare(strict_types=1);

namespace Tendmap;

use Tendmap\Extension\Changes as Extension;
use Tendmap\Internal\FfiChanges;

/**
 * A stream that becomes readable when the map changes, and when the client is closed.
 *
 *     $changes = $client->changes();
 *     EventLoop::onReadable($changes->stream(), function () use ($changes): void {
 *         $sequence = $changes->take();
 *         // … the map has changed
 *     });
 *
 * After pcntl_fork() a child makes its own: inherited ones throw ForkedError.
 */
final class Changes
{
    /** Null = closed. */
    private FfiChanges|Extension|null $engine = null;
    /** @var ?resource */
    private $stream = null;

    /** @internal */
    public function __construct(FfiChanges|Extension $engine)
    {
        $this->engine = $engine;
    }

    /**
     * The stream, the same one until it is closed: for stream_select(), Revolt, Amp and ReactPHP. Do
     * not read from it: take() makes it unreadable again.
     *
     * PHP opens descriptors on the command line only; under a web server this throws
     * DescriptorError.
     *
     * @return resource
     */
    public function stream()
    {
        $engine = $this->engine ?? throw $this->closed();
        if (!is_resource($this->stream)) {
            if (PHP_SAPI !== 'cli') {
                throw Error::of(18, 'PHP opens no descriptors under ' . PHP_SAPI
                    . '; wait in a program of the command line');
            }
            $stream = @fopen('php://fd/' . $engine->fd(), 'r');
            if ($stream === false) {
                throw Error::of(18, "a stream can't be opened: " . (error_get_last()['message'] ?? 'unknown'));
            }
            stream_set_blocking($stream, false);
            stream_set_read_buffer($stream, 0);
            $this->stream = $stream;
        }
        return $this->stream;
    }

    /** The descriptor, for extensions that poll descriptors. Do not read it or close it. */
    public function fd(): int
    {
        return ($this->engine ?? throw $this->closed())->fd();
    }

    /**
     * Makes the stream unreadable until the next change, and returns the live sequence.
     * It does not wait. No change is lost: one that happens meanwhile is in the result, or
     * makes the stream readable again.
     *
     * @throws ClosedError if the client is closed; remove the stream from the loop then
     */
    public function take(): int
    {
        return ($this->engine ?? throw $this->closed())->take();
    }

    /** Closes the stream, which must have been removed from the loop. */
    public function close(): void
    {
        $engine = $this->engine;
        $this->engine = null;
        if (is_resource($this->stream)) {
            fclose($this->stream);
        }
        $this->stream = null;
        $engine?->close();
    }

    public function __destruct()
    {
        $this->close();
    }

    private function __clone(): void
    {
    }

    /** @return array<string, mixed> */
    public function __serialize(): array
    {
        throw Error::of(1, "a descriptor can't be serialized");
    }

    /** @param array<string, mixed> $data */
    public function __unserialize(array $data): void
    {
        throw Error::of(1, "a descriptor can't be unserialized; call changes() instead");
    }

    /** @return array<string, mixed> */
    public function __debugInfo(): array
    {
        return ['closed' => $this->engine === null];
    }

    private function closed(): Error
    {
        return Error::of(2, 'the handle for changes is closed');
    }
}
