<?php

declare(strict_types=1);

namespace Tendmap;

/** The cluster has no namespace of that name. */
class NamespaceUnknownError extends RouteError
{
}
