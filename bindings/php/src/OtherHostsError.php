<?php

declare(strict_types=1);

namespace Tendmap;

/** This process is already connected under the key, with other hosts. */
class OtherHostsError extends ConnectError
{
}
