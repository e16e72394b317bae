<?php
/** Routes the key of a request; see docs/PREFORK.md. */
require __DIR__ . '/Tendmap.php';

$settings = json_decode(getenv('TENDMAP_SETTINGS') ?: '{}', true);
$tendmap = new Tendmap(getenv('TENDMAP_HOSTS'), $settings);
// Text that looks like an integer is used as one here; this is the application's choice.
$key = $_GET['key'] ?? $argv[1] ?? null;
$key = is_string($key) && (string) (int) $key === $key ? (int) $key : $key;
if (PHP_SAPI === 'cli') {
    $answer = $tendmap->route('test', 'users', $key);
} else {
    header('Content-Type: application/json');
    try {
        $answer = $tendmap->route('test', 'users', $key);
    } catch (RuntimeException $error) {
        // An error of the caller (ERROR_ARGUMENT), or of the cluster.
        http_response_code($error->getCode() === 1 ? 400 : 503);
        $answer = ['error' => $error->getMessage()];
    }
}
echo json_encode($answer + ['pid' => getmypid(), 'role' => $tendmap->role()]), "\n";
