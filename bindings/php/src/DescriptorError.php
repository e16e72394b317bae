<?php

declare(strict_types=1);

namespace Tendmap;

/** No descriptor can be opened, or the program has closed it. */
class DescriptorError extends Error
{
}
