<?php

declare(strict_types=1);

namespace Tendmap;

use Tendmap\Internal\Settings;

/**
 * A process's connection to a cluster's map. It shares the tending: one process of the
 * host asks the servers, the others read.
 *
 *     $client = Client::connect('127.0.0.1:3000', ['shm_key' => 0xA7000000]);
 *     $node = $client->route('test', 'users', 42);
 *
 * Under a web server create one for each request: the process stays attached from one
 * request to the next, so connecting takes microseconds.
 */
final class Client extends Session
{
    /** Server interfaces with one program for the life of the process. */
    private const PROGRAMS = ['cli', 'phpdbg', 'embed', 'micro'];

    /**
     * Connects: attaches to the segment of the key, or creates it and tends. Returns as
     * soon as there is a map to route from.
     *
     * @param string|array<string> $hosts NAME:PORT, several separated by commas or in a list
     * @param array<string, string|int|float|bool|array<int|string>|null> $settings the
     *     settings of the library, see the README
     * @throws ConnectError then nothing is left behind
     */
    public static function connect(
        mixed $hosts,
        #[\SensitiveParameter]
        mixed $settings = [],
    ): self {
        if (!is_string($hosts) && !is_array($hosts)) {
            throw Error::of(1, 'hosts of type ' . get_debug_type($hosts) . '; wanted a string or an array');
        }
        $client = new self(Settings::read($hosts, $settings), false);
        if (!in_array(PHP_SAPI, self::PROGRAMS, true)) {
            $client->keep();
        }
        return $client;
    }

    /**
     * Keeps this process attached until it ends, even if all clients are closed. Under
     * PHP-FPM and other web servers connect() does this.
     */
    public function keep(): void
    {
        ($this->engine ?? throw $this->closed())->keep();
    }

    /**
     * The events since the last call, the oldest first: nodes that joined, left or fail,
     * takeovers, passes that fail or succeed again. It never waits.
     *
     * The last 256 are kept; if there were more, the first is `events_lost` with their
     * `count`. Clients of one process under one key share their events.
     *
     * @return list<Event>
     */
    public function events(): array
    {
        $engine = $this->engine ?? throw $this->closed();
        $events = [];
        // As many as are kept, and the one that counts the lost ones: others may follow.
        while (count($events) <= 256 && ($json = $engine->nextEvent()) !== null) {
            /** @var array{event: string, level: string, time: int|float, ...<string, mixed>} $details */
            $details = json_decode($json, true, flags: JSON_THROW_ON_ERROR);
            ['event' => $name, 'level' => $level, 'time' => $time] = $details;
            unset($details['event'], $details['level'], $details['time']);
            $events[] = new Event($name, $level, (float) $time, $details);
        }
        return $events;
    }

    /**
     * Changes how often this process asks the cluster as owner, in seconds.
     *
     * @param int|float $seconds
     * @throws ConfigError
     */
    public function setTendInterval(mixed $seconds): void
    {
        $engine = $this->engine ?? throw $this->closed();
        $engine->setTendInterval(Settings::interval($seconds));
    }

    /**
     * Changes the password of the user that this process logs in as, from the next login.
     *
     * @param string $password
     * @throws ConfigError
     */
    public function setPassword(
        #[\SensitiveParameter]
        mixed $password,
    ): void {
        $engine = $this->engine ?? throw $this->closed();
        $engine->setPassword(new \SensitiveParameterValue(Settings::text('password', $password)));
    }
}
