<?php

declare(strict_types=1);

namespace Tendmap;

/** The handle belongs to another thread. (PHP's handles belong to one thread each.) */
class WrongThreadError extends Error
{
}
