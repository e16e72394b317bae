<?php

declare(strict_types=1);

namespace Tendmap;

/** How a command chooses among the replicas of its partition. */
enum Policy: int
{
    /** Only the master. */
    case Master = 0;
    /** Replicas in their order, from the master on; a retry goes to the next. */
    case Sequence = 1;
    /** As Sequence, starting one replica further with each command. */
    case Any = 2;
    /** As Sequence, starting at a random replica. */
    case Random = 3;
    /**
     * A node in the first of the preferred racks that has one, then in the second, and
     * so on, then any. A retry goes to the node that has failed only if there is no other.
     */
    case PreferRack = 4;
}
