<?php

declare(strict_types=1);

namespace Tendmap;

/** A partition number that is out of range. */
class OutOfRangeError extends RouteError
{
}
