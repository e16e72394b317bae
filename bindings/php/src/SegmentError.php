<?php

declare(strict_types=1);

namespace Tendmap;

/** The segment's files can't be created, attached or read. */
class SegmentError extends ConnectError
{
}
