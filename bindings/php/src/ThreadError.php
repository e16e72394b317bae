<?php

declare(strict_types=1);

namespace Tendmap;

/** A thread can't be started. */
class ThreadError extends ConnectError
{
}
