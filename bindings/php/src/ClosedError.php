<?php

declare(strict_types=1);

namespace Tendmap;

/** The client, the reader or the descriptor is closed. */
class ClosedError extends Error
{
}
