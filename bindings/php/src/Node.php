<?php

declare(strict_types=1);

namespace Tendmap;

/** A node of the cluster. */
final readonly class Node
{
    /** @internal */
    public function __construct(
        /** Its index. Another node may have it later, under another incarnation. */
        public int $index,
        /** How many times a node got this index. */
        public int $incarnation,
        /** The node id. */
        public string $name,
        /** The IP address alone. */
        public string $host,
        public int $port,
        /** Address and port: 10.0.0.1:3000, [::1]:3000. */
        public string $address,
        /** The name on its TLS certificate; null if it has none. */
        public ?string $tlsName,
        /** The build of its server: 8.1.2.0; null if it is not known. */
        public ?string $build,
    ) {
    }
}
