<?php

declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    $folder = str_starts_with($class, 'Tendmap\\Tests\\') ? __DIR__ : dirname(__DIR__) . '/src';
    $name = preg_replace('/^Tendmap\\\\(Tests\\\\)?/', '', $class);
    $path = $folder . '/' . str_replace('\\', '/', (string) $name) . '.php';
    if (str_starts_with($class, 'Tendmap\\') && is_file($path)) {
        require $path;
    }
});
