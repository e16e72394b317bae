<?php

declare(strict_types=1);

namespace Tendmap;

use Tendmap\Extension\Session as Extension;
use Tendmap\Internal\FfiSession;
use Tendmap\Internal\Engines;
use Tendmap\Internal\Settings;

/**
 * What a client and a reader have in common: routes, the map and waiting.
 *
 * Arguments are checked by this class, whether or not the caller has strict_types: `42`
 * and `"42"` are two keys, and `42.0` and `true` are not keys. So parameters are `mixed`
 * where PHP would convert a value silently; their real types are in the comments.
 *
 * It may be created before pcntl_fork() and used after it: the first call in a child
 * starts the child's own part, without touching its parent's.
 *
 * @phpstan-import-type NodeFields from FfiSession
 * @phpstan-type Member array{id: string, address: string, build: ?string, failures: ?int,
 *     last_error: ?string, last_error_age_ms: ?int}
 * @phpstan-type NamespaceStatus array{name: string, replication_factor: int,
 *     routable_replicas: int, strong_consistency: bool, holes: int}
 * @phpstan-type Status array{backend: ?string, path: ?string, shmid: ?int, user: ?int,
 *     bytes: ?int, layout_version: int, key: int, generation: int, retired: bool,
 *     cluster_name: ?string, term: int, sequence: int, owner_pid: ?int, owner_alive: bool,
 *     abdicated: bool, heartbeat_age_ms: ?int, tended_age_ms: ?int, tend_interval_ms: ?int,
 *     nodes: int, members: list<Member>, max_nodes: int, max_namespaces: int,
 *     max_replicas: int, namespaces: list<NamespaceStatus>, publications: int,
 *     takeovers: int, refused_nodes: int, tends: int, tend_errors: int, pass_us: ?int,
 *     bytes_in: int, failing_nodes: int, ask_errors: int, bad_replies: int,
 *     last_error: ?string, last_error_age_ms: ?int, shortage: ?string,
 *     departed: list<array{id: string, age_ms: int, reason: mixed}>, attached: ?int,
 *     healthy: bool, problems: list<string>, remarks: list<string>, ...}
 */
abstract class Session
{
    /** A stretch of a wait, after which handlers of pcntl signals run. */
    private const STRETCH_MS = 200;

    /**
     * Null = closed.
     *
     * @internal
     */
    protected FfiSession|Extension|null $engine = null;

    /** @param array<string, string> $settings */
    final protected function __construct(
        #[\SensitiveParameter]
        array $settings,
        bool $isReader,
    ) {
        $this->engine = Engines::open(new \SensitiveParameterValue($settings), $isReader);
    }

    /**
     * The node to ask for a key. It never waits.
     *
     * @param string $namespace
     * @param ?string $set null or '' = no set
     * @param int|string|Key $key a string is a text of UTF-8
     * @param Policy $policy
     * @throws RouteError NoNodeError if no node of the partition may be used
     */
    public function route(mixed $namespace, mixed $set, mixed $key, mixed $policy = Policy::Sequence): Node
    {
        $engine = $this->engine ?? throw $this->closed();
        if (!is_string($namespace) || (!is_string($set) && $set !== null) || !$policy instanceof Policy) {
            throw self::wrongArguments($namespace, $set, $policy);
        }
        if (is_int($key)) {
            $found = $engine->route($namespace, $set ?? '', Key::INTEGER, $key, $policy->value);
        } elseif (is_string($key)) {
            $found = $engine->route($namespace, $set ?? '', Key::STRING, $key, $policy->value);
        } elseif ($key instanceof Key) {
            $found = $engine->route($namespace, $set ?? '', $key->kind, $key->value, $policy->value);
        } else {
            throw self::wrongKey($key);
        }
        return $found instanceof Node ? $found : self::learn($engine, $found);
    }

    /**
     * As {@see route()}, with partition and replica, and for use with {@see retry()}.
     *
     * @param string $namespace
     * @param ?string $set
     * @param int|string|Key $key
     * @param Policy $policy
     * @throws RouteError
     */
    public function locate(mixed $namespace, mixed $set, mixed $key, mixed $policy = Policy::Sequence): Route
    {
        $engine = $this->engine ?? throw $this->closed();
        if (!is_string($namespace) || (!is_string($set) && $set !== null) || !$policy instanceof Policy) {
            throw self::wrongArguments($namespace, $set, $policy);
        }
        [$kind, $value] = match (true) {
            is_int($key) => [Key::INTEGER, $key],
            is_string($key) => [Key::STRING, $key],
            $key instanceof Key => [$key->kind, $key->value],
            default => throw self::wrongKey($key),
        };
        $found = $engine->locate($namespace, $set ?? '', $kind, $value, $policy->value);
        return self::made($engine, $found, $namespace, $policy);
    }

    /**
     * The next attempt after the node of `$route` has failed a command, starting at the
     * next replica. (Policy::Master gives the master again; Policy::PreferRack gives the
     * failed node only if there is no other.)
     *
     * @param Route $route
     * @throws RouteError
     */
    public function retry(mixed $route): Route
    {
        $engine = $this->engine ?? throw $this->closed();
        if (!$route instanceof Route) {
            throw Error::of(1, 'route of type ' . get_debug_type($route) . '; wanted the Tendmap\Route of locate()');
        }
        // C would take the lower bits of a larger one.
        $numbers = ['partition' => $route->partition, 'replica' => $route->replica, 'node' => $route->node->index];
        foreach ($numbers as $name => $number) {
            if ($number < 0 || $number > 0xFFFF) {
                throw Error::of(1, "the $name of a route is $number; wanted that of a route of locate()");
            }
        }
        $found = $engine->retry(
            $route->namespace,
            $route->policy->value,
            $route->partition,
            $route->replica,
            $route->node->index,
        );
        return self::made($engine, $found, $route->namespace, $route->policy);
    }

    /**
     * The nodes of many keys, all of one publication, under the indexes of the keys; null
     * where no node of the partition may be used.
     *
     * @template K of array-key
     * @param string $namespace
     * @param ?string $set
     * @param array<K, int|string|Key> $keys
     * @param Policy $policy
     * @return array<K, ?Node>
     * @throws RouteError
     */
    public function routeBatch(mixed $namespace, mixed $set, mixed $keys, mixed $policy = Policy::Sequence): array
    {
        $engine = $this->engine ?? throw $this->closed();
        if (!is_string($namespace) || (!is_string($set) && $set !== null) || !$policy instanceof Policy) {
            throw self::wrongArguments($namespace, $set, $policy);
        }
        if (!is_array($keys)) {
            throw Error::of(1, 'keys of type ' . get_debug_type($keys) . '; wanted an array');
        }
        $list = [];
        $integers = true;
        foreach ($keys as $key) {
            if (is_int($key)) {
                $list[] = $key;
                continue;
            }
            $integers = false;
            $list[] = match (true) {
                is_string($key) => $key,
                $key instanceof Key => [$key->kind, $key->value],
                default => throw self::wrongKey($key),
            };
        }
        $indexes = $engine->batch($namespace, $set ?? '', $list, $integers, $policy->value);
        /** @var array<int, ?Node> $nodes */
        $nodes = [FfiSession::NO_NODE => null];
        $result = [];
        $at = 0;
        foreach ($keys as $name => $_) {
            $index = $indexes[$at++] ?? FfiSession::NO_NODE;
            if (!array_key_exists($index, $nodes)) {
                $nodes[$index] = self::nodeAt($engine, $index);
            }
            $result[$name] = $nodes[$index] ?? null;
        }
        return $result;
    }

    /**
     * The cluster's nodes, in the order of their indexes.
     *
     * @return list<Node>
     */
    public function nodes(): array
    {
        $engine = $this->engine ?? throw $this->closed();
        $nodes = [];
        foreach ($engine->nodes() as $fields) {
            $nodes[] = new Node(...$fields);
        }
        return $nodes;
    }

    /**
     * The state of the segment and its owner: the fields of `tendmap status --json`.
     *
     * @return Status
     */
    public function status(): array
    {
        $engine = $this->engine ?? throw $this->closed();
        /** @var Status */
        return json_decode($engine->status(), true, flags: JSON_THROW_ON_ERROR);
    }

    /** This process's role. */
    public function role(): Role
    {
        $engine = $this->engine ?? throw $this->closed();
        return match ($engine->role()) {
            0 => Role::Owner,
            1 => Role::Standby,
            2 => Role::Follower,
            3 => Role::Closed,
            default => Role::Reader,
        };
    }

    /** The number of the live publication; 0 = none yet. */
    public function sequence(): int
    {
        $engine = $this->engine ?? throw $this->closed();
        return $engine->wait(0, 0);
    }

    /**
     * Sleeps until a publication other than `$sequence` is live, at most `$timeout`
     * seconds (null = without limit), and returns the live sequence. Handlers of
     * pcntl_async_signals() run meanwhile. An event loop uses {@see changes()}.
     *
     * @param int $sequence
     * @param int|float|null $timeout
     */
    public function waitForChange(mixed $sequence, mixed $timeout = null): int
    {
        $engine = $this->engine ?? throw $this->closed();
        if (!is_int($sequence)) {
            throw Error::of(1, 'sequence of type ' . get_debug_type($sequence) . '; wanted an int');
        }
        if ($sequence < 0) {
            throw Error::of(1, "sequence is $sequence; wanted an int from 0 on");
        }
        $left = Settings::timeout($timeout);
        $until = (int) hrtime(true) + ($left ?? 0) * 1_000_000;
        do {
            $now = $engine->wait($sequence, min($left ?? self::STRETCH_MS, self::STRETCH_MS));
            if ($left !== null) {
                $left = intdiv(max(0, $until - (int) hrtime(true)) + 999_999, 1_000_000);
            }
            // A handler of a signal may have closed it.
            $engine = $this->engine ?? throw $this->closed();
        } while ($now === $sequence && $left !== 0);
        return $now;
    }

    /** A stream that becomes readable when the map changes, for event loops. */
    public function changes(): Changes
    {
        $engine = $this->engine ?? throw $this->closed();
        return new Changes($engine->changes());
    }

    /** Asks the owner, whichever process that is, to tend soon. It does not wait. */
    public function requestTend(): void
    {
        ($this->engine ?? throw $this->closed())->requestTend();
    }

    /**
     * Changes the racks that Policy::PreferRack prefers: numbers, the best first.
     *
     * @param array<int> $racks
     */
    public function setPreferredRacks(mixed $racks): void
    {
        $engine = $this->engine ?? throw $this->closed();
        $engine->setPreferredRacks(Settings::racks($racks));
    }

    /**
     * Closes it. Further calls throw ClosedError; closing again does nothing.
     *
     * The last client of the process under its key hands the ownership over, and the last
     * process removes the segment.
     */
    public function close(): void
    {
        $engine = $this->engine;
        $this->engine = null;
        $engine?->close();
    }

    public function isClosed(): bool
    {
        return $this->engine === null;
    }

    public function __destruct()
    {
        $this->close();
    }

    /** Two objects would close one client. */
    private function __clone(): void
    {
    }

    /** @return array<string, mixed> */
    public function __serialize(): array
    {
        throw Error::of(1, "a {$this->kind()} can't be serialized; connect in the other process");
    }

    /** @param array<string, mixed> $data */
    public function __unserialize(array $data): void
    {
        throw Error::of(1, "a {$this->kind()} can't be unserialized; connect instead");
    }

    /** @return array<string, mixed> no secret, and no address of memory */
    public function __debugInfo(): array
    {
        return ['closed' => $this->isClosed(), 'engine' => Engines::name()];
    }

    /** @internal */
    final protected function closed(): Error
    {
        return Error::of(2, "the {$this->kind()} is closed");
    }

    private function kind(): string
    {
        return $this instanceof Reader ? 'reader' : 'client';
    }

    /** @param array{int, int, int, int} $found sequence, partition, replica, node */
    private static function made(FfiSession|Extension $engine, array $found, string $namespace, Policy $policy): Route
    {
        [$sequence, $partition, $replica, $index] = $found;
        return new Route(self::nodeAt($engine, $index), $partition, $replica, $sequence, $namespace, $policy);
    }

    /** The node of an index of the last call. */
    private static function nodeAt(FfiSession|Extension $engine, int $index): Node
    {
        return $engine->known($index) ?? self::learn($engine, $index);
    }

    private static function learn(FfiSession|Extension $engine, int $index): Node
    {
        $seen = $engine->seen();
        $node = new Node(...$engine->node($index));
        // The handler of a signal may have routed meanwhile: the index may be another node's.
        $engine->remember($index, $node, $seen);
        return $node;
    }

    private static function wrongArguments(mixed $namespace, mixed $set, mixed $policy): Error
    {
        return Error::of(1, match (true) {
            !is_string($namespace) => 'namespace of type ' . get_debug_type($namespace) . '; wanted a string',
            !is_string($set) && $set !== null => 'set of type ' . get_debug_type($set) . '; wanted a string or null',
            default => 'policy of type ' . get_debug_type($policy) . '; wanted a Tendmap\Policy',
        });
    }

    private static function wrongKey(mixed $key): Error
    {
        return Error::of(1, 'key of type ' . get_debug_type($key) . '; wanted an int, a string or a Tendmap\Key');
    }
}
