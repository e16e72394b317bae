<?php

declare(strict_types=1);

namespace Tendmap;

/** The namespace handle belongs to another router. (PHP has no such handles.) */
class ForeignHandleError extends RouteError
{
}
