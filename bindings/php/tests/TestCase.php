<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\Client;
use Tendmap\Error;

/** A cluster and a directory for segments, for each test. */
abstract class TestCase extends \PHPUnit\Framework\TestCase
{
    protected const PACKAGE = __DIR__ . '/..';

    protected Simulator $cluster;
    protected string $directory;

    protected function setUp(): void
    {
        $this->directory = sys_get_temp_dir() . '/tendmap-php-' . bin2hex(random_bytes(6));
        if (is_dir('/dev/shm')) {
            $this->directory = '/dev/shm/' . basename($this->directory);
        }
        mkdir($this->directory, 0777);
        $this->cluster = new Simulator('--nodes', '3');
    }

    protected function tearDown(): void
    {
        gc_collect_cycles();
        // Again while a client that was kept, or one of another process, still makes or removes a file.
        $this->waitUntil('the directory is removed', function (): bool {
            foreach (glob("{$this->directory}/{*,.[!.]*}", GLOB_BRACE) ?: [] as $path) {
                is_file($path) && @unlink($path);
            }
            return @rmdir($this->directory);
        });
    }

    /** @param array<string, mixed> $more */
    protected function settings(array $more = []): array
    {
        return $more + ['shm_directory' => $this->directory, 'tend_interval' => 0.05];
    }

    /** @param array<string, mixed> $more */
    protected function connect(array $more = []): Client
    {
        return Client::connect($this->cluster->seeds, $this->settings($more));
    }

    /** The node of a partition, as the cluster says. */
    protected function ownerOf(int $partition): string
    {
        return $this->cluster->ask('owners test')['partitions'][$partition][0];
    }

    /** The exception of a call; a PHP error is none. */
    protected function refused(callable $call): Error
    {
        try {
            $call();
        } catch (Error $error) {
            return $error;
        }
        self::fail('it was not refused');
    }

    /** Waits until a condition holds, and fails after a generous time. */
    protected function waitUntil(string $what, callable $done): void
    {
        $until = hrtime(true) + 60_000_000_000;
        while (!$done()) {
            self::assertLessThan($until, hrtime(true), "waited in vain: $what");
            usleep(5000);
        }
        // Also if there was nothing to wait for.
        $this->addToAssertionCount(1);
    }

    protected static function hasExtension(): bool
    {
        return extension_loaded('tendmap');
    }

    /** @return list<string> arguments for a PHP that uses what this one uses */
    protected static function engine(): array
    {
        return self::hasExtension()
            ? ['-d', 'extension=' . getenv('TENDMAP_EXTENSION')]
            : ['-d', 'ffi.enable=1'];
    }

    /**
     * Runs a program in another PHP.
     *
     * @param list<string> $arguments
     * @param array<string, string> $env
     * @return array{int, string} its exit code and its output
     */
    protected function php(array $arguments, array $env = [], bool $plain = false): array
    {
        $command = [PHP_BINARY, ...($plain ? [] : self::engine()), '-d', 'display_errors=stderr', ...$arguments];
        return $this->execute($command, $env);
    }

    /**
     * @param list<string> $command
     * @param array<string, string> $env
     * @return array{int, string}
     */
    protected function execute(array $command, array $env = [], ?string $in = null): array
    {
        $env += ['TENDMAP_HOSTS' => implode(',', $this->cluster->seeds),
            'TENDMAP_SETTINGS' => json_encode($this->settings())] + getenv();
        $process = proc_open($command, [1 => ['pipe', 'w'], 2 => ['redirect', 1]], $pipes, $in, $env);
        $output = stream_get_contents($pipes[1]);
        fclose($pipes[1]);
        return [proc_close($process), $output];
    }

    /** Says what is not tested, so that it is not skipped in silence. */
    protected static function skip(string $why): never
    {
        $skips = getenv('TENDMAP_SKIPS');
        if (is_string($skips) && $skips !== '') {
            file_put_contents($skips, "php $why\n", FILE_APPEND);
        }
        self::markTestSkipped("skipped: $why");
    }
}
