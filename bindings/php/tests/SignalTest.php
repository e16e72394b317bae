<?php

declare(strict_types=1);

namespace Tendmap\Tests;

/** Handlers of signals, which PHP runs in the middle of a call. */
final class SignalTest extends TestCase
{
    public function test_h240_php_a_handler_that_routes_changes_no_route_of_the_call_under_it(): void
    {
        $client = $this->connect();
        $expected = $replicas = [];
        for ($key = 0; $key < 100; $key++) {
            $first = $client->locate('test', 'users', $key);
            $expected[$key] = $first->node->name;
            $replicas[$key] = $client->retry($first)->node->name;
        }
        $handled = 0;
        pcntl_async_signals(true);
        pcntl_signal(SIGUSR1, function () use ($client, &$handled): void {
            $handled++;
            $client->retry($client->locate('test', 'others', $handled));
            $client->route('test', 'others', $handled);
            $client->routeBatch('test', 'others', [$handled]);
        });
        $parent = posix_getpid();
        $pid = pcntl_fork();
        if ($pid === 0) {
            while (posix_getppid() === $parent) {
                posix_kill($parent, SIGUSR1);
                usleep(50);
            }
            posix_kill(posix_getpid(), SIGKILL);
        }
        $wrong = [];
        for ($key = 0; $handled < 4000; $key = ($key + 1) % 100) {
            $first = $client->locate('test', 'users', $key);
            $found = [
                $client->route('test', 'users', $key)->name,
                $first->node->name,
                $client->routeBatch('test', 'users', [$key])[0]?->name,
                $client->retry($first)->node->name,
            ];
            if ($found !== [$expected[$key], $expected[$key], $expected[$key], $replicas[$key]]) {
                $wrong[] = $found;
            }
        }
        posix_kill($pid, SIGKILL);
        pcntl_waitpid($pid, $status);
        pcntl_signal(SIGUSR1, SIG_DFL);
        pcntl_async_signals(false);
        self::assertSame([], array_slice($wrong, 0, 3));
    }
}
