<?php

declare(strict_types=1);

namespace Tendmap;

/** The owner did not publish a map in time. */
class NoMapYetError extends ConnectError
{
}
