<?php

/**
 * Routes keys: php route.php [KEY …]
 *
 * TENDMAP_HOSTS names servers (127.0.0.1:3100), TENDMAP_SETTINGS has settings as JSON.
 */

declare(strict_types=1);

use Tendmap\Client;
use Tendmap\Error;

require __DIR__ . '/autoload.php';

$settings = json_decode(getenv('TENDMAP_SETTINGS') ?: '{}', true, flags: JSON_THROW_ON_ERROR);
assert(is_array($settings));
try {
    /** @var array<string, string|int|float|bool> $settings */
    $client = Client::connect(getenv('TENDMAP_HOSTS') ?: '127.0.0.1:3100', $settings);
    foreach (array_slice($argv, 1) ?: ['42', 'ann'] as $key) {
        // Text that looks like an integer is used as one here; this is the program's choice.
        $key = (string) (int) $key === $key ? (int) $key : $key;
        $route = $client->locate('test', 'users', $key);
        printf(
            "%s: node %s at %s (partition %d)\n",
            json_encode($key),
            $route->node->name,
            $route->node->address,
            $route->partition,
        );
    }
    printf("this process is %s; %d nodes\n", $client->role()->value, count($client->nodes()));
} catch (Error $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(1);
}
