<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Amp\Loop;
use Tendmap\Changes;
use Tendmap\ClosedError;
use Tendmap\ForkedError;
use Tendmap\Reader;

final class ChangesTest extends TestCase
{
    /** @param resource $stream */
    private static function isReady($stream, int $seconds = 0): bool
    {
        $read = [$stream];
        $none = null;
        return stream_select($read, $none, $none, $seconds) === 1;
    }

    private static function drain(Changes $changes): int
    {
        $sequence = $changes->take();
        while (self::isReady($changes->stream())) {
            $sequence = $changes->take();
        }
        return $sequence;
    }

    /** Waits at the stream until there is another publication, and returns its sequence. */
    private static function next(Changes $changes, int $sequence): int
    {
        do {
            self::assertTrue(self::isReady($changes->stream(), 60));
            // It may have become readable for a publication that was taken before.
            $now = $changes->take();
        } while ($now <= $sequence);
        return $now;
    }

    public function testTheStreamIsReadableAfterEachChange(): void
    {
        $client = $this->connect();
        $reader = Reader::open($this->settings());
        $all = [$client->changes(), $client->changes(), $reader->changes()];
        $sequence = max(array_map(self::drain(...), $all));
        foreach (['add' => 4, 'remove 4' => 3, ' add' => 4] as $command => $nodes) {
            $this->cluster->ask(trim($command));
            foreach ($all as $changes) {
                self::assertSame($changes->stream(), $changes->stream());
                self::next($changes, $sequence);
            }
            // One command may lead to several publications.
            $this->waitUntil("$nodes nodes", fn () => count($client->nodes()) === $nodes);
            $sequence = max(array_map(self::drain(...), $all));
        }
        $this->waitUntil('all are read', fn () => max(array_map(self::drain(...), $all)) === $client->sequence());
        // A program that closes the stream gets another one.
        fclose($all[0]->stream());
        $stream = $all[0]->stream();
        self::assertTrue(is_resource($stream));
        self::drain($all[0]);
        $all[0]->close();
        self::assertFalse(is_resource($stream));
    }

    public function testTheStreamIsReadableWhenTheClientCloses(): void
    {
        $client = $this->connect();
        $reader = Reader::open($this->settings());
        foreach ([$reader, $client] as $session) {
            $changes = $session->changes();
            self::drain($changes);
            $session->close();
            self::assertTrue(self::isReady($changes->stream(), 60));
            self::assertInstanceOf(ClosedError::class, $this->refused($changes->take(...)));
        }
    }

    /** Amp's loop, with timers beside the stream. */
    public function testAnEventLoopWaits(): void
    {
        $amp = stream_resolve_include_path('Amp/autoload.php');
        if ($amp === false) {
            self::skip('the event loop Amp is not installed (Debian: php-amphp-amp)');
        }
        require_once $amp;
        // Debian's autoloader omits them.
        require_once dirname($amp) . '/functions.php';
        require_once dirname($amp) . '/Internal/functions.php';
        $client = $this->connect();
        $changes = $client->changes();
        $sequence = self::drain($changes);
        [$counts, $ticks, $closed] = [[], 0, false];
        Loop::run(function () use ($client, $changes, &$sequence, &$counts, &$ticks, &$closed): void {
            Loop::onReadable($changes->stream(), function () use ($client, $changes, &$sequence, &$counts, &$closed): void {
                try {
                    self::assertGreaterThanOrEqual($sequence, $sequence = $changes->take());
                    $counts[] = $count = count($client->nodes());
                    $count === 5 && $client->close();
                } catch (ClosedError) {
                    $closed = true;
                    Loop::stop();
                }
            });
            Loop::repeat(1, function (string $id) use (&$ticks): void {
                $ticks % 100 === 0 && $this->cluster->ask('add');
                ++$ticks === 200 && Loop::cancel($id);
            });
        });
        self::assertTrue($closed);
        self::assertSame(5, end($counts));
        self::assertGreaterThan(100, $ticks);
    }

    /** Descriptors end with their objects: a program that makes many runs out of none. */
    public function testNoDescriptorIsLeft(): void
    {
        $client = $this->connect();
        $open = fn () => count(scandir('/proc/self/fd'));
        $client->changes()->stream();
        $before = $open();
        for ($i = 0; $i < 50; $i++) {
            $changes = $client->changes();
            $changes->stream();
            unset($changes);
        }
        $this->waitUntil('they are closed', fn () => $open() <= $before + 2);
    }

    public function testAChildMakesItsOwn(): void
    {
        $client = $this->connect();
        $changes = $client->changes();
        $changes->stream();
        $pid = pcntl_fork();
        if ($pid === 0) {
            $code = 1;
            try {
                $changes->take();
            } catch (ForkedError) {
                $own = $client->changes();
                $code = $own->take() > 0 && is_resource($own->stream()) ? 0 : 2;
            }
            // Nothing of the parent's PHPUnit runs.
            posix_kill(posix_getpid(), $code === 0 ? SIGKILL : SIGTERM);
        }
        pcntl_waitpid($pid, $status);
        self::assertSame(SIGKILL, pcntl_wtermsig($status));
        self::drain($changes);
        $this->cluster->ask('add');
        self::assertTrue(self::isReady($changes->stream(), 60));
    }

    public function testASignalIsHandledDuringAWait(): void
    {
        $client = $this->connect();
        $handled = 0;
        pcntl_async_signals(true);
        pcntl_signal(SIGALRM, function () use (&$handled, $client): void {
            $handled++;
            $client->close();
        });
        pcntl_alarm(1);
        $error = $this->refused(fn () => $client->waitForChange($client->sequence()));
        pcntl_signal(SIGALRM, SIG_DFL);
        self::assertInstanceOf(ClosedError::class, $error);
        self::assertSame(1, $handled);
    }
}
