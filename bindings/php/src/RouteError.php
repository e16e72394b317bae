<?php

declare(strict_types=1);

namespace Tendmap;

/** Routing failed. */
class RouteError extends Error
{
}
