<?php

declare(strict_types=1);

namespace Tendmap;

/** The cluster has no nodes. */
class ClusterEmptyError extends RouteError
{
}
