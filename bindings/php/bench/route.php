<?php

/**
 * What a route costs in PHP, through FFI and then with the extension, and what PHP
 * programs would do instead:
 *
 *     TENDMAP_LIBRARY=…/libtendmap.so TENDMAP_EXTENSION=…/libtendmap_php.so php bench/route.php
 *
 * With the extension loaded, or without TENDMAP_EXTENSION, it measures one of them.
 *
 * It needs `tendmap` (TENDMAP) for a simulated cluster. --quick: one short round. With
 * TENDMAP_ROUTE_LIMIT (ns) it fails if a route with the extension costs more.
 */

declare(strict_types=1);

use Tendmap\Client;
use Tendmap\Reader;
use Tendmap\Tests\Simulator;

require dirname(__DIR__) . '/tests/bootstrap.php';

$quick = in_array('--quick', $argv, true);
$rounds = $quick ? 3 : 15;
$count = $quick ? 20_000 : 100_000;
$directory = (is_dir('/dev/shm') ? '/dev/shm' : sys_get_temp_dir()) . '/tendmap-bench-' . getmypid();
mkdir($directory);
$cluster = new Simulator('--nodes', '3');
$settings = ['shm_directory' => $directory];
$client = Client::connect($cluster->seeds, $settings);
$node = $client->route('test', 'users', 1);
// A map of partitions as a PHP program would keep it.
$map = array_fill(0, 4096, $node);
$keys = range(1, 1000);
$texts = array_map(static fn (int $key): string => "user-$key", $keys);

$empty = static function (int $key): void {
};
$work = [
    'an empty function' => [$count, static function () use ($count, $empty): void {
        for ($key = 0; $key < $count; $key++) {
            $empty($key);
        }
    }],
    'hash(ripemd160) and an array' => [$count, static function () use ($count, $map): void {
        for ($key = 0; $key < $count; $key++) {
            $digest = hash('ripemd160', "users\x01" . pack('J', $key), true);
            $found = $map[(ord($digest[0]) | ord($digest[1]) << 8) & 4095];
        }
    }],
    'route, an integer' => [$count, static function () use ($count, $client): void {
        for ($key = 0; $key < $count; $key++) {
            $client->route('test', 'users', $key);
        }
    }],
    'route, a text' => [$count, static function () use ($count, $client): void {
        for ($key = 0; $key < $count; $key++) {
            $client->route('test', 'users', 'user-1234');
        }
    }],
    'locate' => [$count, static function () use ($count, $client): void {
        for ($key = 0; $key < $count; $key++) {
            $client->locate('test', 'users', $key);
        }
    }],
    'a batch of 1000 integers, each' => [10_000, static function () use ($client, $keys): void {
        for ($i = 0; $i < 10; $i++) {
            $client->routeBatch('test', 'users', $keys);
        }
    }],
    'a batch of 1000 texts, each' => [10_000, static function () use ($client, $texts): void {
        for ($i = 0; $i < 10; $i++) {
            $client->routeBatch('test', 'users', $texts);
        }
    }],
    'attach as a reader, and close' => [200, static function () use ($settings): void {
        for ($i = 0; $i < 200; $i++) {
            Reader::open($settings)->close();
        }
    }],
    'attach, in a process that is attached' => [200, static function () use ($cluster, $settings): void {
        for ($i = 0; $i < 200; $i++) {
            Client::connect($cluster->seeds, $settings);
        }
    }],
];
// Interleaved rounds, timed by the process's own processor time; medians.
$times = [];
for ($round = 0; $round < $rounds; $round++) {
    foreach ($work as $name => [$operations, $run]) {
        $before = cpu();
        $run();
        $times[$name][] = (cpu() - $before) / $operations;
    }
}
printf("%s, PHP %s\n", extension_loaded('tendmap') ? 'extension' : 'FFI', PHP_VERSION);
$medians = [];
foreach ($times as $name => $found) {
    sort($found);
    $medians[$name] = $found[intdiv(count($found), 2)];
    printf("%-40s %9.0f ns\n", $name, $medians[$name]);
}
$client->close();
rmdir($directory);
$limit = (float) (getenv('TENDMAP_ROUTE_LIMIT') ?: INF);
if (extension_loaded('tendmap') && $medians['route, an integer'] > $limit) {
    fwrite(STDERR, "a route costs more than $limit ns\n");
    exit(1);
}

$extension = getenv('TENDMAP_EXTENSION');
if (is_string($extension) && $extension !== '' && !extension_loaded('tendmap')) {
    $command = [PHP_BINARY, '-d', "extension=$extension", ...$argv];
    passthru(implode(' ', array_map(escapeshellarg(...), $command)), $code);
    exit($code);
}

/** Processor time of this process in nanoseconds. */
function cpu(): float
{
    $used = getrusage() ?: [];
    return (($used['ru_utime.tv_sec'] ?? 0) + ($used['ru_stime.tv_sec'] ?? 0)) * 1e9
        + (($used['ru_utime.tv_usec'] ?? 0) + ($used['ru_stime.tv_usec'] ?? 0)) * 1e3;
}
