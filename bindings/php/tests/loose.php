<?php

// Without strict_types: PHP would convert arguments here.

use Tendmap\Client;
use Tendmap\Key;
use Tendmap\Reader;

/** Calls by what they get, with the codes of their errors. */
return static fn (Client $client, array $settings): array => [
    'key' => [fn ($it) => $client->route('test', 'users', $it), [1]],
    'key of locate' => [fn ($it) => $client->locate('test', 'users', $it), [1]],
    'key of a batch' => [fn ($it) => $client->routeBatch('test', 'users', [$it]), [1]],
    'keys' => [fn ($it) => $client->routeBatch('test', 'users', $it), [1]],
    'set' => [fn ($it) => $client->route('test', $it, 1), [1]],
    'set of a batch' => [fn ($it) => $client->routeBatch('test', $it, [1]), [1]],
    'namespace' => [fn ($it) => $client->route($it, 'users', 1), [1]],
    'namespace of locate' => [fn ($it) => $client->locate($it, 'users', 1), [1]],
    'policy' => [fn ($it) => $client->route('test', 'users', 1, $it), [1]],
    'policy of locate' => [fn ($it) => $client->locate('test', 'users', 1, $it), [1]],
    'policy of a batch' => [fn ($it) => $client->routeBatch('test', 'users', [1], $it), [1]],
    'route' => [fn ($it) => $client->retry($it), [1]],
    'hosts' => [fn ($it) => Client::connect($it), [1]],
    'a host' => [fn ($it) => Client::connect([$it]), [1]],
    'settings' => [fn ($it) => Client::connect('a', is_array($it) ? 7 : $it), [1]],
    'settings of a reader' => [fn ($it) => Reader::open(is_array($it) ? 7 : $it), [1]],
    'shm_key' => [fn ($it) => Client::connect('a', ['shm_key' => $it]), [1, 10]],
    'user' => [fn ($it) => Client::connect('a', ['user' => $it ?? 7]), [1]],
    'shm_directory' => [fn ($it) => Client::connect('a', ['shm_directory' => $it ?? 7]), [1]],
    'a list' => [fn ($it) => Client::connect('a', [$it]), [1]],
    'bytes' => [fn ($it) => Key::bytes($it), [1]],
    'digest' => [fn ($it) => Key::digest($it), [1]],
    'double' => [fn ($it) => Key::double(is_float($it) ? 7 : $it), [1]],
    'sequence' => [fn ($it) => $client->waitForChange($it, 0), [1]],
    'timeout' => [fn ($it) => $client->waitForChange(0, is_float($it) && !is_nan($it) ? '1' : $it), [1]],
    'racks' => [fn ($it) => $client->setPreferredRacks($it), [1]],
    'a rack' => [fn ($it) => $client->setPreferredRacks([$it]), [1]],
    'interval' => [fn ($it) => $client->setTendInterval(is_float($it) && $it < INF ? '1' : $it), [1, 10]],
    'password' => [fn ($it) => $client->setPassword($it), [1]],
];
