<?php

declare(strict_types=1);

// Composer's own autoloader: of the application, or of this package by itself.
foreach ([dirname(__DIR__, 4), dirname(__DIR__)] as $folder) {
    foreach (["$folder/vendor/autoload.php", "$folder/autoload.php"] as $path) {
        if (is_file($path)) {
            require $path;
            return;
        }
    }
}
// Neither: the files of a checkout.
spl_autoload_register(static function (string $class): void {
    $path = dirname(__DIR__) . '/src/' . str_replace('\\', '/', substr($class, 8)) . '.php';
    if (str_starts_with($class, 'Tendmap\\') && is_file($path)) {
        require $path;
    }
});
