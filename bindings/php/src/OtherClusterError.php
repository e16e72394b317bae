<?php

declare(strict_types=1);

namespace Tendmap;

/** The segment belongs to another cluster. */
class OtherClusterError extends ConnectError
{
}
