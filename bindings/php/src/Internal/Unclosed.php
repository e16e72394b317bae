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
    /** Shows whether PHP still calls the destructors of what was made before. */
    private static ?self $witness = null;
    private static bool $destructs = false;

    private function __construct()
    {
    }

    public function __destruct()
    {
        self::$destructs = true;
    }

    public static function add(FfiSession|FfiChanges $handle): void
    {
        if (self::$open === null) {
            /** @var \WeakMap<FfiSession|FfiChanges, true> $open */
            $open = new \WeakMap();
            self::$open = $open;
            self::$witness = new self();
            // Runs after the program's own functions, which may use its clients.
            register_shutdown_function(register_shutdown_function(...), self::end(...));
        }
        self::$open[$handle] = true;
    }

    private static function end(): void
    {
        // Not by error_get_last(): the program's functions may have made it forget the error.
        $witness = self::$witness;
        self::$witness = null;
        unset($witness);
        if (self::$destructs) {
            // They are still to run, and they close.
            return;
        }
        foreach (self::$open ?? [] as $handle => $_) {
            $handle->close();
        }
    }
}
