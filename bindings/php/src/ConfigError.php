<?php

declare(strict_types=1);

namespace Tendmap;

/** A setting is unknown or out of its range. */
class ConfigError extends ConnectError
{
}
