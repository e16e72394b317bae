<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\Client;
use Tendmap\Key;
use Tendmap\Node;
use Tendmap\Policy;
use Tendmap\Reader;
use Tendmap\Role;

final class RouteTest extends TestCase
{
    /** Digests are those of the Aerospike clients. */
    private static function partition(string $set, int $kind, string $value): int
    {
        return unpack('v', hash('ripemd160', $set . chr($kind) . $value, true))[1] & 4095;
    }

    public function testAKeyOfEveryTypeIsRoutedAsTheClusterSays(): void
    {
        $client = $this->connect();
        $keys = [
            [42, self::partition('users', 1, pack('J', 42))],
            [PHP_INT_MIN, self::partition('users', 1, pack('J', PHP_INT_MIN))],
            ['42', self::partition('users', 3, '42')],
            ['ann', self::partition('users', 3, 'ann')],
            ['', self::partition('users', 3, '')],
            ["a\0b", self::partition('users', 3, "a\0b")],
            ['ü😀', self::partition('users', 3, 'ü😀')],
            [str_repeat('x', 3000), self::partition('users', 3, str_repeat('x', 3000))],
            [Key::bytes("\xff\0"), self::partition('users', 4, "\xff\0")],
            [Key::bytes('ann'), self::partition('users', 4, 'ann')],
            [Key::double(1.5), self::partition('users', 2, pack('E', 1.5))],
            [Key::double(-0.0), self::partition('users', 2, pack('E', -0.0))],
            [Key::digest("\x01\xf2" . str_repeat('z', 18)), 0x201],
        ];
        foreach ($keys as [$key, $partition]) {
            $route = $client->locate('test', 'users', $key);
            self::assertSame($partition, $route->partition, var_export($key, true));
            self::assertSame($this->ownerOf($partition), $route->node->name);
            self::assertSame($route->node, $client->route('test', 'users', $key));
        }
        $batch = $client->routeBatch('test', 'users', array_column($keys, 0));
        foreach ($keys as $at => [$key, $partition]) {
            self::assertEquals($client->route('test', 'users', $key), $batch[$at]);
        }
        $none = $client->locate('test', null, 7);
        self::assertSame(self::partition('', 1, pack('J', 7)), $none->partition);
        self::assertSame($none->partition, $client->locate('test', '', 7)->partition);
        self::assertSame(self::partition('ü', 3, 'ü'), $client->locate('test', 'ü', 'ü')->partition);
        // A name that looks like an integer is a name.
        self::assertSame(23, $this->refused(fn () => $client->route('7', null, 7))->getCode());
    }

    public function testABatchKeepsTheIndexesOfItsKeys(): void
    {
        $client = $this->connect();
        $keys = array_combine(range(10, 3009), range(1, 3000)) + ['last' => 7];
        $nodes = $client->routeBatch('test', 'users', $keys, Policy::Master);
        self::assertSame(array_keys($keys), array_keys($nodes));
        foreach ([10, 1500, 3009, 'last'] as $at) {
            self::assertEquals($client->route('test', 'users', $keys[$at]), $nodes[$at]);
        }
        self::assertSame([], $client->routeBatch('test', 'users', []));
    }

    public function testRetriesAndPoliciesUseTheOtherReplica(): void
    {
        $client = $this->connect();
        $owners = $this->cluster->ask('owners test')['partitions'];
        $first = $client->locate('test', 'users', 42);
        [$master, $other] = $owners[$first->partition];
        self::assertSame([$master, 0], [$first->node->name, $first->replica]);
        $second = $client->retry($first);
        self::assertSame([$other, 1, $first->partition], [$second->node->name, $second->replica, $second->partition]);
        self::assertSame($master, $client->retry($client->retry($first))->node->name);
        $found = [];
        foreach (Policy::cases() as $policy) {
            for ($i = 0; $i < 64; $i++) {
                $found[$policy->name][$client->route('test', 'users', 42, $policy)->name] = true;
            }
        }
        self::assertSame([$master => true], $found['Master']);
        self::assertSame([$master => true], $found['Sequence']);
        self::assertCount(2, $found['Any']);
        self::assertCount(2, $found['Random']);
        self::assertSame($master, $client->retry($client->locate('test', 'users', 42, Policy::Master))->node->name);
    }

    public function testPreferredRacksAreUsed(): void
    {
        $this->cluster = new Simulator('--nodes', '3', '--enterprise');
        $client = $this->connect(['preferred_racks' => [2, 3]]);
        foreach ([1, 2, 3] as $node) {
            $this->cluster->ask("rack $node test $node");
        }
        $names = array_column($client->nodes(), 'name');
        foreach ([[1], [2], [3]] as $racks) {
            $client->setPreferredRacks($racks);
            $wanted = $names[$racks[0] - 1];
            $owners = $this->cluster->ask('owners test')['partitions'];
            $this->waitUntil('racks are known', function () use ($client, $wanted, $owners): bool {
                for ($key = 0; $key < 50; $key++) {
                    $route = $client->locate('test', 'users', $key, Policy::PreferRack);
                    if (in_array($wanted, $owners[$route->partition], true) && $route->node->name !== $wanted) {
                        return false;
                    }
                }
                return true;
            });
        }
        $client->setPreferredRacks([]);
    }

    public function testNodesStatusRoleAndEvents(): void
    {
        $client = $this->connect();
        $nodes = $client->nodes();
        self::assertCount(3, $nodes);
        self::assertContainsOnlyInstancesOf(Node::class, $nodes);
        foreach ($nodes as $node) {
            self::assertContains($node->address, $this->cluster->seeds);
            self::assertSame("{$node->host}:{$node->port}", $node->address);
            self::assertSame(['8.1.2.0', null], [$node->build, $node->tlsName]);
        }
        self::assertSame(Role::Owner, $client->role());
        $status = $client->status();
        self::assertSame('lab', $status['cluster_name']);
        self::assertTrue($status['healthy'], json_encode($status['problems']));
        self::assertSame(getmypid(), $status['owner_pid']);
        self::assertSame($status['sequence'], $client->sequence());
        $events = $client->events();
        self::assertContains('owner', array_column($events, 'name'));
        foreach ($events as $event) {
            self::assertContains($event->level, ['debug', 'info', 'warning']);
            self::assertGreaterThan(1e9, $event->time);
        }
        $added = array_values(array_filter($events, fn ($event) => $event->name === 'node_added'));
        self::assertSame($nodes[0]->name, $added[0]->details['node']);
        self::assertSame([], $client->events());
        $client->setTendInterval(0.1);
        $client->requestTend();
        $this->waitUntil('the interval is 100 ms', fn () => $client->status()['tend_interval_ms'] === 100);
    }

    public function testAReaderReadsWhatAClientPublishes(): void
    {
        self::assertSame(12, $this->refused(fn () => Reader::open($this->settings()))->getCode());
        $client = $this->connect();
        $reader = Reader::open($this->settings(['cluster_name' => 'lab']));
        self::assertSame(Role::Reader, $reader->role());
        self::assertEquals($client->route('test', 'users', 42), $reader->route('test', 'users', 42));
        self::assertEquals($client->nodes(), $reader->nodes());
        self::assertSame(1, $client->status()['attached']);
        $sequence = $reader->sequence();
        $this->cluster->ask('add');
        self::assertGreaterThan($sequence, $reader->waitForChange($sequence, 60));
        $this->waitUntil('the new node is seen', fn () => count($reader->nodes()) === 4);
        $wrong = fn () => Reader::open($this->settings(['cluster_name' => 'other']));
        self::assertSame(13, $this->refused($wrong)->getCode());
        $client->close();
        $reader->close();
        $closed = $this->refused(fn () => $reader->route('test', null, 1));
        self::assertSame([2, 'the reader is closed'], [$closed->getCode(), $closed->getMessage()]);
    }

    public function testAReaderHasNoThreadAndNeedsOnlyPermissionToRead(): void
    {
        $client = $this->connect();
        $path = $client->status()['path'];
        if (posix_getuid() === 0) {
            chmod($this->directory, 0755);
            chgrp($path, 65534);
            chmod($path, 0640);
        } else {
            echo "skipped: only root can become another user\n";
        }
        $program = sprintf('require %s;', var_export(__DIR__ . '/bootstrap.php', true)) . <<<'PHP'
            $settings = json_decode(getenv('TENDMAP_SETTINGS'), true) + ['shm_owner' => posix_getuid()];
            // All files are loaded before they can't be read any more.
            $reader = Tendmap\Reader::open($settings);
            [$reader->route('test', 'users', 1), $reader->changes()->take()];
            $reader->close();
            if (posix_getuid() === 0) {
                posix_setgid(65534);
                posix_setuid(65534);
            }
            $threads = fn (): int => count(scandir('/proc/self/task')) - 2;
            while ($threads() > 1) {
                usleep(5000);
            }
            $reader = Tendmap\Reader::open($settings);
            $name = $reader->route('test', 'users', 1)->name;
            $reader->routeBatch('test', 'users', [1]);
            $reader->nodes();
            $reader->status();
            $reader->waitForChange($reader->sequence(), 0);
            $before = $threads();
            $changes = $reader->changes();
            echo $name, ' ', $before, ' ', $threads();
            PHP;
        [$code, $output] = $this->php(['-r', $program]);
        self::assertSame([0, $client->route('test', 'users', 1)->name . ' 1 2'], [$code, $output]);
    }

    /** A node with another address is another object, however often it was returned. */
    public function test_h180_php_returns_no_node_with_its_old_address(): void
    {
        $client = $this->connect();
        $batch = fn () => $client->routeBatch('test', 'users', range(0, 99));
        foreach ([$client, Reader::open($this->settings())] as $session) {
            for ($key = 0; $key < 100; $key++) {
                $session->route('test', 'users', $key);
            }
        }
        $before = $client->nodes()[0];
        $port = $this->cluster->ask('move 1 0')['port'];
        $this->waitUntil('it has moved', fn () => $client->nodes()[0]->port === $port);
        $seen = 0;
        foreach ($batch() as $key => $node) {
            self::assertEquals($node, $client->route('test', 'users', $key));
            self::assertNotSame($before->address, $client->route('test', 'users', $key)->address);
            self::assertNotSame($before->address, $client->locate('test', 'users', $key)->node->address);
            $seen += (int) ($node?->port === $port);
        }
        self::assertGreaterThan(0, $seen);
    }

    public function testClosingHandsTheSegmentOver(): void
    {
        $client = $this->connect();
        $other = Client::connect(implode(',', $this->cluster->seeds), $this->settings());
        $client->close();
        $client->close();
        self::assertTrue($client->isClosed());
        self::assertSame(Role::Owner, $other->role());
        $other->close();
        self::assertSame(12, $this->refused(fn () => Reader::open($this->settings()))->getCode());
    }
}
