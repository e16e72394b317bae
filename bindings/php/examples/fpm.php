<?php

/** Routes the key of a request under PHP-FPM: …/fpm.php?key=42 */

declare(strict_types=1);

use Tendmap\ArgumentError;
use Tendmap\Client;
use Tendmap\Error;

// Preloaded classes need no autoloader.
if (!class_exists(Client::class, false)) {
    require __DIR__ . '/autoload.php';
}

header('Content-Type: application/json');
$answer = ['pid' => getmypid(), 'uid' => posix_geteuid()];
try {
    /** @var array<string, string|int|float|bool> $settings */
    $settings = json_decode(getenv('TENDMAP_SETTINGS') ?: '{}', true, flags: JSON_THROW_ON_ERROR);
    // For each request: the process stays attached.
    $client = Client::connect(getenv('TENDMAP_HOSTS') ?: '127.0.0.1:3100', $settings);
    $answer['role'] = $client->role()->value;
    $key = $_GET['key'] ?? null;
    if (!is_string($key)) {
        throw new ArgumentError('the parameter key is missing; wanted ?key=…', 1);
    }
    $key = (string) (int) $key === $key ? (int) $key : $key;
    $answer += get_object_vars($client->route('test', 'users', $key));
} catch (Error $error) {
    http_response_code($error instanceof ArgumentError ? 400 : 503);
    $answer += ['error' => $error->getMessage()];
}
echo json_encode($answer, JSON_THROW_ON_ERROR), "\n";
