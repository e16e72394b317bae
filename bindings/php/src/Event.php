<?php

declare(strict_types=1);

namespace Tendmap;

/** Something that has happened: a node that joined, a takeover, a pass that failed. */
final readonly class Event
{
    /** @internal */
    public function __construct(
        /** node_added, node_removed, takeover, tend_failed, … */
        public string $name,
        /** debug, info or warning: also levels of PSR-3. */
        public string $level,
        /** Seconds since 1970. */
        public float $time,
        /** @var array<string, mixed> its values, as in a line of `tendmap tend --json` */
        public array $details,
    ) {
    }
}
