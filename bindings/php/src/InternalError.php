<?php

declare(strict_types=1);

namespace Tendmap;

/** A defect in tendmap, caught before it could do harm. */
class InternalError extends Error
{
}
