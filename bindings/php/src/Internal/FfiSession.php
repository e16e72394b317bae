<?php

declare(strict_types=1);

namespace Tendmap\Internal;

use FFI;
use FFI\CData;
use Tendmap\Error;
use Tendmap\Key;
use Tendmap\Node;

/**
 * A client or a reader of the C library, through FFI. It has the methods of
 * Tendmap\Extension\Session.
 *
 * @internal
 * @phpstan-type NodeFields array{index: int, incarnation: int, name: string, host: string,
 *     port: int, address: string, tlsName: ?string, build: ?string}
 */
final class FfiSession
{
    /** The index that means "no node". */
    public const NO_NODE = 0xFFFF;
    /** Integers that are packed at once. */
    private const CHUNK = 1024;

    /** @var LibraryCalls */
    private readonly object $library;
    private ?CData $client = null;
    private ?CData $router = null;
    /**
     * Memory for a route, and its address; null while a call uses it: PHP runs the handler of a
     * signal in the middle of a call, and that one may route as well.
     *
     * @var ?array{CData, CData}
     */
    private ?array $place = null;
    /** The process that has made the calls so far. */
    private int $pid;
    /** @var array<string, int> numbers of namespaces */
    private array $namespaces = [];
    /** @var array<string, true> sets that C takes as they are */
    private array $sets = ['' => true];
    /** @var array<int, Node> the nodes of the publication */
    private array $nodes = [];
    private int $sequence = -1;

    /** @param \SensitiveParameterValue $secret the settings: an array of texts */
    public function __construct(\SensitiveParameterValue $secret, private readonly bool $isReader)
    {
        /** @var array<string, string> $settings */
        $settings = $secret->getValue();
        $this->library = $library = Library::load();
        $this->pid = (int) getmypid();
        Unclosed::add($this);
        $config = $this->made($library->tendmap_config_new($settings['hosts'] ?? null));
        unset($settings['hosts']);
        try {
            foreach ($settings as $name => $value) {
                // An array of PHP makes integers of names that look like one.
                $this->check($library->tendmap_config_set($config, (string) $name, $value));
            }
            $this->client = $this->made(
                $isReader ? $library->tendmap_reader_open($config) : $library->tendmap_connect($config),
            );
        } finally {
            $library->tendmap_config_free($config);
        }
        $this->router = $this->made($library->tendmap_router_new($this->client, null));
    }

    public function __destruct()
    {
        $this->close();
    }

    /** Two objects would close one client. */
    private function __clone(): void
    {
    }

    public function close(): void
    {
        [$client, $router] = [$this->client, $this->router];
        $this->client = $this->router = null;
        if ($router !== null) {
            $this->library->tendmap_router_free($router);
        }
        if ($client !== null) {
            $this->library->tendmap_close($client);
        }
    }

    /** The node, or its index if it was not remembered. */
    public function route(string $namespace, string $set, int $kind, int|float|string $key, int $policy): Node|int
    {
        $place = $this->find($namespace, $set, $kind, $key, $policy);
        $route = $place[0];
        /** @var int $sequence */
        $sequence = $route->sequence;
        /** @var int $node */
        $node = $route->node;
        $this->place = $place;
        if ($sequence !== $this->sequence) {
            $this->turnTo($sequence);
        }
        return $this->nodes[$node] ?? $node;
    }

    /** @return array{int, int, int, int} sequence, partition, replica, node */
    public function locate(string $namespace, string $set, int $kind, int|float|string $key, int $policy): array
    {
        return $this->found($this->find($namespace, $set, $kind, $key, $policy));
    }

    /** @return array{int, int, int, int} sequence, partition, replica, node */
    public function retry(string $namespace, int $policy, int $partition, int $replica, int $node): array
    {
        $number = $this->namespaces["=$namespace"] ?? $this->resolve($namespace);
        $place = $this->place ?? $this->newPlace();
        $this->place = null;
        [$route, $at] = $place;
        $route->partition = $partition;
        $route->replica = $replica;
        $route->node = $node;
        $this->check($this->library->tendmap_route_retry($this->router(), $number, $policy, $at));
        return $this->found($place);
    }

    /**
     * The indexes of the nodes of keys, NO_NODE where a partition has none.
     *
     * @param list<int|string|array{int, float|string}> $keys other keys with their kinds
     * @return array<int, int>
     */
    public function batch(string $namespace, string $set, array $keys, bool $integers, int $policy): array
    {
        $number = $this->namespaces["=$namespace"] ?? $this->resolve($namespace);
        if (!isset($this->sets[$set])) {
            $this->checkSet($set);
        }
        $count = count($keys);
        if ($count === 0) {
            return [];
        }
        $nodes = $this->library->new("uint16_t[$count]");
        $sequence = $this->library->new('uint64_t');
        if ($integers) {
            $packed = '';
            foreach (array_chunk($keys, self::CHUNK) as $chunk) {
                $packed .= pack('q*', ...$chunk);
            }
            $memory = $this->library->new("int64_t[$count]");
            FFI::memcpy($memory, $packed, 8 * $count);
            $this->check($this->library->tendmap_route_batch_integers(
                $this->router(),
                $number,
                $set,
                $memory,
                $count,
                $policy,
                $nodes,
                FFI::addr($sequence),
            ));
        } else {
            $packed = '';
            foreach ($keys as $key) {
                $packed .= Digest::of($set, $key);
            }
            $memory = $this->library->new("char[$count][20]");
            FFI::memcpy($memory, $packed, 20 * $count);
            $this->check($this->library->tendmap_route_batch_digests(
                $this->router(),
                $number,
                $memory,
                $count,
                $policy,
                $nodes,
                FFI::addr($sequence),
            ));
        }
        $this->turnTo(self::int($sequence->cdata));
        /** @var array<int, int> $indexes */
        $indexes = unpack('S*', FFI::string($nodes, 2 * $count));
        return array_values($indexes);
    }

    /** The remembered node of an index of the last call. */
    public function known(int $index): ?Node
    {
        return $this->nodes[$index] ?? null;
    }

    /** The publication of the last call. */
    public function seen(): int
    {
        return $this->sequence;
    }

    /** Remembers the node of an index, unless another publication was seen meanwhile. */
    public function remember(int $index, Node $node, int $seen): void
    {
        if ($seen === $this->sequence) {
            $this->nodes[$index] = $node;
        }
    }

    /** @return NodeFields the node of an index of the last call */
    public function node(int $index): array
    {
        $node = $this->library->new('tendmap_node');
        $this->check($this->library->tendmap_router_node($this->router(), $index, FFI::addr($node)));
        return self::fields($node);
    }

    /** @return list<NodeFields> */
    public function nodes(): array
    {
        $count = $this->library->new('size_t');
        $room = 16;
        do {
            $nodes = $this->library->new("tendmap_node[$room]");
            $this->check($this->library->tendmap_client_nodes($this->client(), $nodes, $room, FFI::addr($count)));
            $found = self::int($count->cdata);
            $fits = $found <= $room;
            $room = $found;
        } while (!$fits);
        $fields = [];
        for ($at = 0; $at < $found; $at++) {
            $node = $nodes[$at];
            assert($node instanceof CData);
            $fields[] = self::fields($node);
        }
        return $fields;
    }

    public function status(): string
    {
        return $this->text($this->made($this->library->tendmap_client_status_json($this->client())));
    }

    public function role(): int
    {
        $role = $this->library->tendmap_client_role($this->client());
        return $role >= 0 ? $role : throw $this->error();
    }

    public function wait(int $sequence, int $ms): int
    {
        $now = $this->library->new('uint64_t');
        $this->check($this->library->tendmap_wait_for_change($this->client(), $sequence, $ms, FFI::addr($now)));
        return self::int($now->cdata);
    }

    public function changes(): FfiChanges
    {
        return new FfiChanges($this->library, $this->made($this->library->tendmap_changes_new($this->client())));
    }

    public function nextEvent(): ?string
    {
        $event = $this->library->new('char *');
        $this->check($this->library->tendmap_client_next_event($this->client(), FFI::addr($event)));
        return FFI::isNull($event) ? null : $this->text($event);
    }

    public function requestTend(): void
    {
        $this->check($this->library->tendmap_client_request_tend($this->client()));
    }

    public function keep(): void
    {
        $this->check($this->library->tendmap_keep($this->client()));
    }

    /** @param list<int> $racks */
    public function setPreferredRacks(array $racks): void
    {
        $count = count($racks);
        $numbers = null;
        if ($count > 0) {
            $numbers = $this->library->new("int32_t[$count]");
            FFI::memcpy($numbers, pack('l*', ...$racks), 4 * $count);
        }
        $this->check($this->library->tendmap_client_set_preferred_racks($this->client(), $numbers, $count));
    }

    public function setTendInterval(int $ms): void
    {
        $this->check($this->library->tendmap_client_set_tend_interval($this->client(), $ms));
    }

    /** @param \SensitiveParameterValue $password a text */
    public function setPassword(\SensitiveParameterValue $password): void
    {
        /** @var string $text */
        $text = $password->getValue();
        $this->check($this->library->tendmap_client_set_password($this->client(), $text));
    }

    /** @return array{CData, CData} */
    private function newPlace(): array
    {
        $route = $this->library->new('tendmap_route');
        return [$route, FFI::addr($route)];
    }

    /** @return array{CData, CData} a place with the route */
    private function find(string $namespace, string $set, int $kind, int|float|string $key, int $policy): array
    {
        // Not by the name itself: PHP would make an integer of "7".
        $number = $this->namespaces["=$namespace"] ?? $this->resolve($namespace);
        if (!isset($this->sets[$set])) {
            $this->checkSet($set);
        }
        $router = $this->router();
        $place = $this->place ?? $this->newPlace();
        $this->place = null;
        $out = $place[1];
        $library = $this->library;
        $this->check(match (true) {
            is_int($key) => $library->tendmap_route_integer($router, $number, $set, $key, $policy, $out),
            is_float($key) => $library->tendmap_route_double($router, $number, $set, $key, $policy, $out),
            $kind === Key::STRING => $library->tendmap_route_string(
                $router,
                $number,
                $set,
                $key,
                strlen($key),
                $policy,
                $out,
            ),
            $kind === Key::BYTES => $library->tendmap_route_bytes(
                $router,
                $number,
                $set,
                $key,
                strlen($key),
                $policy,
                $out,
            ),
            default => $library->tendmap_route_digest($router, $number, $key, $policy, $out),
        });
        return $place;
    }

    /**
     * @param array{CData, CData} $place
     * @return array{int, int, int, int}
     */
    private function found(array $place): array
    {
        $route = $place[0];
        $found = [
            self::int($route->sequence),
            self::int($route->partition),
            self::int($route->replica),
            self::int($route->node),
        ];
        $this->place = $place;
        $this->turnTo($found[0]);
        return $found;
    }

    /** Forgets the nodes of another publication: an index may be another node's now. */
    private function turnTo(int $sequence): void
    {
        if ($sequence !== $this->sequence) {
            $this->nodes = [];
            $this->sequence = $sequence;
        }
    }

    private function resolve(string $namespace): int
    {
        Settings::name('namespace', $namespace);
        $number = $this->library->new('uint64_t');
        $this->check($this->library->tendmap_router_namespace($this->router(), $namespace, FFI::addr($number)));
        return $this->namespaces["=$namespace"] = self::int($number->cdata);
    }

    private function checkSet(string $set): void
    {
        Settings::name('set', $set);
        if (preg_match('//u', $set) !== 1) {
            throw Error::of(1, 'set is not UTF-8: it has other bytes');
        }
        // A program has few sets; if they come from requests, memory stays bounded.
        if (count($this->sets) >= 1024) {
            $this->sets = ['' => true];
        }
        $this->sets[$set] = true;
    }

    /** The router. In a child the first call is one with the client, which starts its own part. */
    private function router(): CData
    {
        if (getmypid() !== $this->pid) {
            $this->pid = (int) getmypid();
            $this->role();
        }
        return $this->router ?? throw $this->closed();
    }

    private function client(): CData
    {
        return $this->client ?? throw $this->closed();
    }

    private function closed(): Error
    {
        return Error::of(2, 'the ' . ($this->isReader ? 'reader' : 'client') . ' is closed');
    }

    /** A text of the library, which is freed. */
    private function text(CData $text): string
    {
        try {
            return FFI::string($text);
        } finally {
            $this->library->tendmap_string_free($text);
        }
    }

    private function check(int $code): void
    {
        if ($code !== 0) {
            throw $this->error();
        }
    }

    private function made(?CData $pointer): CData
    {
        return $pointer ?? throw $this->error();
    }

    private function error(): Error
    {
        return Error::of($this->library->tendmap_last_error_code(), $this->library->tendmap_last_error());
    }

    /** @return NodeFields */
    private static function fields(CData $node): array
    {
        return [
            'index' => self::int($node->index),
            'incarnation' => self::int($node->incarnation),
            'name' => self::string($node->name),
            'host' => self::string($node->host),
            'port' => self::int($node->port),
            'address' => self::string($node->address),
            'tlsName' => self::string($node->tls_name) ?: null,
            'build' => self::string($node->build) ?: null,
        ];
    }

    private static function string(mixed $text): string
    {
        assert($text instanceof CData);
        return FFI::string($text);
    }

    /** The type that FFI gives, but does not declare. */
    private static function int(mixed $number): int
    {
        assert(is_int($number));
        return $number;
    }
}
