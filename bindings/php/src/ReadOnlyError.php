<?php

declare(strict_types=1);

namespace Tendmap;

/** The call needs a client; a reader only reads. */
class ReadOnlyError extends Error
{
}
