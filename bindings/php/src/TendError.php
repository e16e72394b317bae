<?php

declare(strict_types=1);

namespace Tendmap;

/** The cluster can't be tended: no server gives a valid answer. */
class TendError extends ConnectError
{
}
