<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\Client;
use Tendmap\ClosedError;
use Tendmap\Error;
use Tendmap\Key;
use Tendmap\Reader;
use Tendmap\Route;
use Tendmap\Session;

/** The invalid calls that every language answers with the same kind of error and text. */
final class SharedTest extends TestCase
{
    private Client $client;
    private Reader $reader;
    private Route $found;

    /** @return array{kinds: array<string, int>, cases: list<array<string, mixed>>} */
    private static function shared(): array
    {
        $json = file_get_contents(__DIR__ . '/../../glue/tests/invalid.json');
        return json_decode((string) $json, true, flags: JSON_THROW_ON_ERROR);
    }

    public function testEachKindOfErrorHasAClassOfItsName(): void
    {
        foreach (self::shared()['kinds'] as $kind => $number) {
            $class = 'Tendmap\\' . str_replace('_', '', ucwords(strtolower($kind), '_')) . 'Error';
            $error = Error::of($number, 'x');
            self::assertSame([$class, $number], [$error::class, $error->getCode()]);
        }
    }

    public function testInvalidCallsGiveTheErrorsOfEveryLanguage(): void
    {
        ['kinds' => $kinds, 'cases' => $cases] = self::shared();
        chmod($this->directory, 0700);
        $this->client = $this->connect();
        $this->reader = Reader::open($this->settings());
        $this->found = $this->client->locate('test', 'users', 1);
        $wrong = [];
        foreach ($cases as $case) {
            if (in_array('php', $case['except'] ?? [], true)) {
                continue;
            }
            if ($case['call'] === 'denied' && posix_getuid() !== 0) {
                echo "skipped: only root can become another user\n";
                continue;
            }
            [$code, $text] = self::answer(fn () => $this->make($case['call'], array_map($this->value(...), $case['with'])));
            $parts = array_map(static fn (string $part): string => preg_quote($part, '/'), explode('…', $case['text'] ?? ''));
            if ($code !== ($kinds[$case['kind'] ?? ''] ?? null) || !preg_match('/^' . implode('.+', $parts) . '$/su', $text)) {
                $wrong[] = [$case['what'], $code, $text];
            }
        }
        self::assertSame([], $wrong);
    }

    /** @return array{?int, string} */
    private static function answer(callable $call): array
    {
        try {
            $call();
            return [null, ''];
        } catch (Error $error) {
            return [$error->getCode(), $error->getMessage()];
        }
    }

    private function value(mixed $given): mixed
    {
        if ($given === '$HOSTS') {
            return $this->cluster->seeds;
        }
        if (!is_array($given)) {
            return $given;
        }
        return match (array_key_first($given)) {
            'broken' => "\xff",
            // Beyond 64 bits PHP has floats.
            'integer' => $given['integer'] + 0,
            'double' => ['NaN' => NAN, 'Infinity' => INF][$given['double']] ?? (float) $given['double'],
            'bytes' => hex2bin($given['bytes']),
            'object' => new \stdClass(),
            default => array_map($this->value(...), $given),
        };
    }

    /** @param list<mixed> $given */
    private function make(string $call, array $given): mixed
    {
        return match ($call) {
            'route' => $this->client->route(...$given),
            'route_digest' => $this->client->route($given[0], null, Key::digest($given[1])),
            'batch' => $this->client->routeBatch(...$given),
            'retry' => $this->client->retry(...$given),
            'client' => $this->opened($given[0])->close(),
            'reader' => Reader::open($this->settings($given[0]))->close(),
            'wait' => $this->client->waitForChange(...$given),
            'racks' => $this->client->setPreferredRacks(...$given),
            'interval' => $this->client->setTendInterval(...$given),
            'password' => $this->client->setPassword(...$given),
            'closed_client' => $this->closed($this->connect(), $given),
            'closed_reader' => $this->closed(Reader::open($this->settings()), $given),
            'news_of_closed' => $this->newsOfClosed(),
            'closed_changes' => $this->closedChanges(),
            'forked' => $this->forked($given[0]),
            'denied' => $this->inChild(function (): void {
                posix_setuid(65534);
                Reader::open($this->settings(['shm_key' => 1]));
            }),
        };
    }

    /** @param array<string, mixed> $settings */
    private function opened(array $settings): Client
    {
        $hosts = $settings['hosts'];
        unset($settings['hosts']);
        return Client::connect($hosts, $this->settings($settings));
    }

    /** @param list<string> $calls */
    private function closed(Session $closed, array $calls): never
    {
        $closed->close();
        foreach ($calls as $call) {
            $error = $this->refused(fn () => match ($call) {
                'route' => $closed->route('test', 'users', 1),
                'locate' => $closed->locate('test', 'users', 1),
                'retry' => $closed->retry($this->found),
                'batch' => $closed->routeBatch('test', 'users', [1]),
                'nodes' => $closed->nodes(),
                'status' => $closed->status(),
                'sequence' => $closed->sequence(),
                'wait' => $closed->waitForChange(1),
                'changes' => $closed->changes(),
                'request_tend' => $closed->requestTend(),
                'racks' => $closed->setPreferredRacks([1]),
                'role' => $closed->role(),
                'events' => $closed->events(),
                'interval' => $closed->setTendInterval(1),
                'password' => $closed->setPassword('x'),
            });
            self::assertInstanceOf(ClosedError::class, $error, $call);
        }
        throw $error;
    }

    private function newsOfClosed(): int
    {
        $reader = Reader::open($this->settings());
        $changes = $reader->changes();
        $reader->close();
        return $changes->take();
    }

    private function closedChanges(): int
    {
        $changes = $this->client->changes();
        $changes->close();
        return $changes->take();
    }

    private function forked(string $what): void
    {
        $changes = $this->client->changes();
        $this->inChild(fn () => match ($what) {
            'changes' => $changes->take(),
            'client' => $this->client->route('test', 'users', 1),
            'reader' => $this->reader->route('test', 'users', 1),
        });
    }

    /** Throws what the call throws in a forked child. */
    private function inChild(callable $call): void
    {
        $pipe = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        $pid = pcntl_fork();
        if ($pid === 0) {
            fwrite($pipe[1], json_encode(self::answer($call)));
            // The child runs nothing of its parent's tests.
            posix_kill(getmypid(), SIGKILL);
        }
        fclose($pipe[1]);
        [$code, $text] = json_decode((string) stream_get_contents($pipe[0]), true, flags: JSON_THROW_ON_ERROR);
        pcntl_waitpid($pid, $status);
        if ($code !== null) {
            throw Error::of($code, $text);
        }
    }
}
