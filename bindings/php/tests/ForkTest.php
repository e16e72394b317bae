<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\ArgumentError;
use Tendmap\Reader;

final class ForkTest extends TestCase
{
    /** Runs a check in a child; it fails if the check does. */
    private function inChild(callable $check): void
    {
        $pid = pcntl_fork();
        if ($pid === 0) {
            $good = false;
            try {
                $good = $check() === true;
            } catch (\Throwable $error) {
                fwrite(STDERR, (string) $error);
            }
            // Nothing of the parent's PHPUnit runs, not even its destructors.
            posix_kill(posix_getpid(), $good ? SIGKILL : SIGTERM);
        }
        pcntl_waitpid($pid, $status);
        self::assertSame(SIGKILL, pcntl_wtermsig($status));
    }

    public function testAClientGoesOnInAChildAndAfterIt(): void
    {
        $client = $this->connect();
        $reader = Reader::open($this->settings());
        $mine = $client->route('test', 'users', 7);
        $this->inChild(function () use ($client, $mine): bool {
            try {
                $client->route('test', 'users', 7.0);
                return false;
            } catch (ArgumentError) {
            }
            return $client->route('test', 'users', 7) == $mine
                && in_array($client->role()->value, ['follower', 'standby'], true)
                && $client->status()['attached'] === 2
                && $client->locate('test', 'users', 7)->node == $mine;
        });
        // The first call is a batch, then a call of a reader; closing is the child's own.
        $this->inChild(fn () => $client->routeBatch('test', 'users', [7])[0] == $mine);
        $this->inChild(fn () => $reader->route('test', 'users', 7) == $mine && $reader->role()->value === 'reader');
        $this->inChild(function () use ($client): bool {
            $client->close();
            return $client->isClosed();
        });
        $this->waitUntil('they have gone', fn () => $client->status()['attached'] === 1);
        self::assertSame('owner', $client->role()->value);
        self::assertSame($mine, $client->route('test', 'users', 7));
        self::assertSame(0, $client->status()['takeovers']);
    }

    public function testChildrenTakeOverFromAParentThatHasClosed(): void
    {
        $client = $this->connect();
        $sockets = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $pid = pcntl_fork();
        if ($pid === 0) {
            $client->route('test', 'users', 1);
            fwrite($sockets[1], "ready\n");
            while ($client->role()->value !== 'owner') {
                usleep(5000);
            }
            fwrite($sockets[1], "owner\n");
            sleep(60);
        }
        self::assertSame("ready\n", fgets($sockets[0]));
        $client->close();
        self::assertSame("owner\n", fgets($sockets[0]));
        $follower = $this->connect();
        posix_kill($pid, SIGKILL);
        pcntl_waitpid($pid, $status);
        $this->waitUntil('this process takes over', fn () => $follower->role()->value === 'owner');
        // One from the parent, one from the child.
        self::assertSame(2, $follower->status()['takeovers']);
    }

    public function testKeepKeepsTheProcessAttached(): void
    {
        $client = $this->connect(['shm_key' => 0xA7000077]);
        $watch = Reader::open($this->settings(['shm_key' => 0xA7000077]));
        $client->keep();
        $client->close();
        self::assertTrue($watch->status()['owner_alive']);
        self::assertSame(1, $watch->status()['attached']);
        $again = $this->connect(['shm_key' => 0xA7000077]);
        self::assertSame('owner', $again->role()->value);
        self::assertSame(0, $watch->status()['takeovers']);
    }

    /** A process that does not close ends as usual, with its threads. */
    public function testAProcessEndsWithItsThreads(): void
    {
        $code = "require '" . __DIR__ . "/bootstrap.php';"
            . '$settings = json_decode(getenv("TENDMAP_SETTINGS"), true);'
            . '$client = Tendmap\\Client::connect(getenv("TENDMAP_HOSTS"), $settings);'
            . '$client->route("test", "users", 1); class Kept { static $it; } Kept::$it = $client;'
            . '$client->keep(); $changes = $client->changes(); $changes->stream();'
            . 'if ($argv[1] % 2) { exit(7); } throw new Exception("end");';
        for ($run = 0; $run < 10; $run++) {
            [$ended, $output] = $this->php(['-r', $code, (string) $run]);
            self::assertSame($run % 2 === 1 ? 7 : 255, $ended, $output);
        }
    }
}
