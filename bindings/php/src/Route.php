<?php

declare(strict_types=1);

namespace Tendmap;

/** The route of a key, for {@see Session::retry()}. */
final readonly class Route
{
    /** @internal */
    public function __construct(
        public Node $node,
        public int $partition,
        /** The replica's number; 0 = the master. */
        public int $replica,
        /** The publication that it was read from. */
        public int $sequence,
        public string $namespace,
        public Policy $policy,
    ) {
    }
}
