<?php

declare(strict_types=1);

namespace Tendmap;

/** The map in the segment is damaged. */
class MapError extends RouteError
{
}
