<?php

/** Prints the nodes at each change, with stream_select(); any event loop does the same. */

declare(strict_types=1);

use Tendmap\ClosedError;
use Tendmap\Client;

require __DIR__ . '/autoload.php';

/** @var array<string, string|int|float|bool> $settings */
$settings = json_decode(getenv('TENDMAP_SETTINGS') ?: '{}', true, flags: JSON_THROW_ON_ERROR);
$client = Client::connect(getenv('TENDMAP_HOSTS') ?: '127.0.0.1:3100', $settings);
$changes = $client->changes();
$left = (int) ($argv[1] ?? PHP_INT_MAX);
try {
    for ($seen = 0; $left > 0; $left--) {
        do {
            $read = [$changes->stream()];
            $none = null;
        } while ($seen !== 0 && stream_select($read, $none, $none, 60) === 0);
        $seen = $changes->take();
        echo "publication $seen: ", implode(', ', array_column($client->nodes(), 'address')), "\n";
    }
} catch (ClosedError) {
    echo "closed\n";
}
