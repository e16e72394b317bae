<?php

declare(strict_types=1);

namespace Tendmap;

/** The library or the extension is missing, of another version, or may not be used here. */
class LibraryError extends Error
{
}
