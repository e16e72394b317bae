<?php

declare(strict_types=1);

namespace Tendmap\Internal;

/**
 * What is open in the C library. PHP calls no destructor after a fatal error, such as the
 * end of memory or of time; under a web server the process lives on.
 *
 * @internal
 */
final class Unclosed
{
    /** @var ?\WeakMap<FfiSession|FfiChanges, true> null in a request that has opened nothing */
    private static ?\WeakMap $open = null;

    public static function add(FfiSession|FfiChanges $handle): void
    {
        if (self::$open === null) {
            /** @var \WeakMap<FfiSession|FfiChanges, true> $open */
            $open = new \WeakMap();
            self::$open = $open;
            // Runs after the program's own functions, which may use its clients.
            register_shutdown_function(register_shutdown_function(...), self::end(...));
        }
        self::$open[$handle] = true;
    }

    private static function end(): void
    {
        $fatal = E_ERROR | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR | E_PARSE;
        if (((error_get_last()['type'] ?? 0) & $fatal) === 0) {
            // Destructors are still to run, and they close.
            return;
        }
        foreach (self::$open ?? [] as $handle => $_) {
            $handle->close();
        }
    }
}
