<?php

declare(strict_types=1);

namespace Tendmap\Tests;

/** Requests to PHP-FPM. */
final class FastCgi
{
    /** @return ?array<string, mixed> the answer; null while no worker answers */
    public static function get(string $socket, string $script, string $query): ?array
    {
        $connection = @stream_socket_client("unix://$socket", timeout: 30);
        if ($connection === false) {
            return null;
        }
        $parameters = '';
        foreach (['SCRIPT_FILENAME' => $script, 'REQUEST_METHOD' => 'GET', 'QUERY_STRING' => $query] as $name => $value) {
            $parameters .= pack('NN', strlen($name) | 1 << 31, strlen($value) | 1 << 31) . $name . $value;
        }
        $record = fn (int $kind, string $content): string => pack('CCnnCC', 1, $kind, 1, strlen($content), 0, 0) . $content;
        stream_set_timeout($connection, 30);
        @fwrite($connection, $record(1, pack('nCx5', 1, 0)) . $record(4, $parameters) . $record(4, '') . $record(5, ''));
        $data = (string) @stream_get_contents($connection);
        fclose($connection);
        $out = '';
        for ($at = 0; $at + 8 <= strlen($data); $at += 8 + $length + $padding) {
            ['kind' => $kind, 'length' => $length, 'padding' => $padding]
                = unpack('Cversion/Ckind/nid/nlength/Cpadding', $data, $at);
            $out .= $kind === 6 ? substr($data, $at + 8, $length) : '';
        }
        $body = explode("\r\n\r\n", $out, 2)[1] ?? '';
        return $body === '' ? null : json_decode($body, true, flags: JSON_THROW_ON_ERROR);
    }
}
