<?php

declare(strict_types=1);

namespace Tendmap;

/** An invalid argument: of a wrong type, with a zero byte, or not UTF-8. */
class ArgumentError extends Error
{
}
