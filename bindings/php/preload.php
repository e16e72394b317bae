<?php

/**
 * Loads every class of the package, for opcache.preload. With `ffi.enable=preload`, PHP's
 * default, only code that is loaded in this way may use FFI.
 *
 *     opcache.preload = /srv/app/vendor/tendmap/tendmap/preload.php
 *     opcache.preload_user = www-data
 *
 * Your own preload script may require this one.
 */

declare(strict_types=1);

(static function (): void {
    spl_autoload_register($load = static function (string $class): void {
        $path = __DIR__ . '/src/' . str_replace('\\', '/', substr($class, 8)) . '.php';
        if (str_starts_with($class, 'Tendmap\\') && is_file($path)) {
            require_once $path;
        }
    });
    foreach ([...glob(__DIR__ . '/src/*.php') ?: [], ...glob(__DIR__ . '/src/Internal/*.php') ?: []] as $path) {
        require_once $path;
    }
    spl_autoload_unregister($load);
})();
