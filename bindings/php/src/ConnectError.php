<?php

declare(strict_types=1);

namespace Tendmap;

/** Connecting failed. */
class ConnectError extends Error
{
}
