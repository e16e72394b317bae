<?php

/**
 * Routes keys in a simulated cluster: php simulated.php [KEY …]
 *
 * Starts the cluster by itself; TENDMAP names the command line `tendmap` if it is not in
 * the PATH.
 */

declare(strict_types=1);

$pipes = [];
$simulator = proc_open(
    [getenv('TENDMAP') ?: 'tendmap', 'sim', '--nodes', '3', '--namespace', 'test:2'],
    [['pipe', 'r'], ['pipe', 'w']],
    $pipes,
);
$started = is_resource($simulator) ? fgets($pipes[1]) : false;
if ($started === false) {
    fwrite(STDERR, "tendmap can't be started; name it by TENDMAP\n");
    exit(1);
}
/** @var array{seeds: list<string>} $cluster */
$cluster = json_decode($started, true, flags: JSON_THROW_ON_ERROR);
putenv('TENDMAP_HOSTS=' . implode(',', $cluster['seeds']));
if (getenv('TENDMAP_SETTINGS') === false) {
    // A key that no other program of this machine uses.
    putenv('TENDMAP_SETTINGS=' . json_encode(['shm_key' => 0xA7F00000 | (int) getmypid() & 0xFFFFF], JSON_THROW_ON_ERROR));
}
// The simulator ends with its input, when this program ends.
require __DIR__ . '/route.php';
$client->close();
