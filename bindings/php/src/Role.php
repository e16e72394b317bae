<?php

declare(strict_types=1);

namespace Tendmap;

/** A process's role in its segment. */
enum Role: string
{
    /** The process tends the cluster and publishes the map. */
    case Owner = 'owner';
    /** It reads the map, and is the next to become owner. */
    case Standby = 'standby';
    /** It reads the map, and may become owner. */
    case Follower = 'follower';
    /** It has closed its connection. */
    case Closed = 'closed';
    /** It only reads. */
    case Reader = 'reader';
}
