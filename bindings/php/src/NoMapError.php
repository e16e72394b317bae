<?php

declare(strict_types=1);

namespace Tendmap;

/** No map has been published yet. */
class NoMapError extends RouteError
{
}
