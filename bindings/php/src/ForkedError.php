<?php

declare(strict_types=1);

namespace Tendmap;

/** The handle belongs to the process from which this one was forked. */
class ForkedError extends Error
{
}
