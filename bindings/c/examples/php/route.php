<?php
/** Routes the key of a request; see docs/PREFORK.md. */
require __DIR__ . '/Tendmap.php';

$settings = json_decode(getenv('TENDMAP_SETTINGS') ?: '{}', true);
$library = getenv('TENDMAP_LIBRARY') ?: 'libtendmap.so.0';
$tendmap = new Tendmap(getenv('TENDMAP_HOSTS'), $settings, $library);
$key = $_GET['key'] ?? $argv[1];
$node = $tendmap->route('test', 'users', (string) (int) $key === $key ? (int) $key : $key);
if (PHP_SAPI !== 'cli') {
    header('Content-Type: application/json');
}
echo json_encode($node + ['pid' => getmypid(), 'role' => $tendmap->role()]), "\n";
