<?php

declare(strict_types=1);

namespace Tendmap;

/** No node of the partition may be used; try again after the next tend. */
class NoNodeError extends RouteError
{
}
