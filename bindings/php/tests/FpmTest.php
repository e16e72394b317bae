<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\Reader;

/** Workers of PHP-FPM: killed, recycled, reloaded, in two pools of different users. */
final class FpmTest extends TestCase
{
    /** Users of the two pools, and the group that they share. */
    private const USERS = [33, 65534];
    private const GROUP = 50123;

    /** @var ?resource */
    private $fpm = null;
    private string $place;
    private string $script;

    protected function setUp(): void
    {
        parent::setUp();
        // Other users may not read the folder of this package.
        $this->place = sys_get_temp_dir() . '/tendmap-fpm-' . bin2hex(random_bytes(6));
        mkdir($this->place, 0755);
        foreach (['src', 'src/Internal', 'examples', '.'] as $folder) {
            is_dir("{$this->place}/$folder") || mkdir("{$this->place}/$folder");
            foreach (glob(self::PACKAGE . "/$folder/*.php") ?: [] as $path) {
                copy($path, "{$this->place}/$folder/" . basename($path));
            }
        }
        $library = getenv('TENDMAP_LIBRARY');
        if (is_string($library) && $library !== '') {
            @link($library, "{$this->place}/lib.so") || copy($library, "{$this->place}/lib.so");
        }
        $this->script = "{$this->place}/examples/fpm.php";
    }

    protected function tearDown(): void
    {
        if ($this->fpm !== null) {
            proc_terminate($this->fpm, SIGTERM);
            proc_close($this->fpm);
        }
        $this->execute(['rm', '-rf', $this->place]);
        parent::tearDown();
    }

    /**
     * Starts FPM.
     *
     * @param array<string, string> $pools settings by the pools' names
     * @param list<string> $php settings of PHP
     * @param array<string, mixed> $settings of tendmap
     */
    private function start(array $pools, array $php = [], array $settings = []): void
    {
        $programs = glob('/usr/sbin/php-fpm' . PHP_MAJOR_VERSION . '*') ?: [];
        if ($programs === []) {
            self::skip('php-fpm is not installed');
        }
        $config = "[global]\nerror_log = {$this->place}/fpm.log\ndaemonize = no\n";
        foreach ($pools as $name => $pool) {
            $config .= "[$name]\nlisten = {$this->place}/$name.sock\npm = static\nclear_env = no\n$pool\n";
        }
        file_put_contents("{$this->place}/fpm.conf", $config);
        $command = [$programs[0], '-F', '-R', '-n', '-y', "{$this->place}/fpm.conf"];
        foreach (['posix', 'ffi'] as $extension) {
            if (is_file(PHP_EXTENSION_DIR . "/$extension.so")) {
                array_push($command, '-d', "extension=$extension.so");
            }
        }
        if (self::hasExtension()) {
            array_push($command, '-d', 'extension=' . getenv('TENDMAP_EXTENSION'));
        }
        foreach ($php ?: ['ffi.enable=1'] as $setting) {
            array_push($command, '-d', $setting);
        }
        $env = ['TENDMAP_HOSTS' => implode(',', $this->cluster->seeds),
            'TENDMAP_SETTINGS' => json_encode($this->settings($settings))] + getenv();
        if (is_file("{$this->place}/lib.so")) {
            $env['TENDMAP_LIBRARY'] = "{$this->place}/lib.so";
        }
        $process = proc_open($command, [['file', '/dev/null', 'r'], 1 => ['file', '/dev/null', 'w'],
            2 => ['file', '/dev/null', 'w']], $pipes, null, $env);
        assert(is_resource($process));
        $this->fpm = $process;
        foreach (array_keys($pools) as $name) {
            $this->waitUntil("FPM answers:\n" . @file_get_contents("{$this->place}/fpm.log"), fn () => $this->ask($name, 'key=1') !== null);
        }
    }

    /** @return ?array<string, mixed> */
    private function ask(string $pool, string $query): ?array
    {
        return FastCgi::get("{$this->place}/$pool.sock", $this->script, $query);
    }

    /** @return array<int, true> the workers that have answered, by their pids */
    private function routeAll(string $pool, int $requests): array
    {
        $partition = fn (int $key): int
            => unpack('v', hash('ripemd160', "users\x01" . pack('J', $key), true))[1] & 4095;
        $owners = $this->cluster->ask('owners test')['partitions'];
        $workers = [];
        for ($key = 0; $key < $requests; $key++) {
            $found = $this->ask($pool, "key=$key");
            self::assertSame($owners[$partition($key)][0], $found['name'] ?? null, json_encode($found));
            $workers[$found['pid']] = true;
        }
        return $workers;
    }

    /**
     * Asks until that many workers have answered.
     *
     * @return array<int, true> their pids
     */
    private function workers(string $pool, int $count): array
    {
        $workers = [];
        $this->waitUntil("$count workers of $pool answer", function () use ($pool, $count, &$workers): bool {
            $workers += $this->routeAll($pool, 5);
            return count($workers) >= $count;
        });
        return $workers;
    }

    private function killOwner(Reader $reader, string $pool): void
    {
        $owner = $reader->status()['owner_pid'];
        self::assertIsInt($owner);
        posix_kill($owner, SIGKILL);
        $this->waitUntil('another worker tends', function () use ($reader, $pool, $owner): bool {
            $this->ask($pool, 'key=1');
            $now = $reader->status();
            return $now['owner_alive'] && $now['owner_pid'] !== $owner;
        });
    }

    public function testWorkersShareOneSegmentAndStayAttached(): void
    {
        $this->start(['www' => 'pm.max_children = 3']);
        $workers = $this->workers('www', 3);
        $this->routeAll('www', 40);
        $reader = Reader::open($this->settings());
        $status = $reader->status();
        self::assertArrayHasKey((int) $status['owner_pid'], $workers);
        // This process reads, too.
        self::assertSame([0, count($workers) + 1, 1], [$status['takeovers'], $status['attached'], $status['generation']]);
        $this->killOwner($reader, 'www');
        $workers = $this->workers('www', 3);
        // Invalid requests are answered, and no worker ends.
        foreach (['', 'key[]=1', 'key=%FF', 'keys=1', 'key[a][b]=2'] as $query) {
            $found = $this->ask('www', $query);
            self::assertNotEmpty($found['error'] ?? '', $query);
            self::assertArrayHasKey($found['pid'], $workers);
        }
    }

    public function testPoolsOfTwoUsersShareOneSegment(): void
    {
        $users = self::USERS;
        if (posix_geteuid() !== 0) {
            self::skip('two pools of different users: only root starts them');
        }
        chgrp($this->directory, self::GROUP);
        chmod($this->directory, 02770);
        $pool = fn (int $user): string => "user = $user\ngroup = " . self::GROUP . "\npm.max_children = 2";
        $settings = ['shm_mode' => '0660', 'shm_owner' => implode(',', $users), 'shm_allow_group_write' => true];
        $this->start(['one' => $pool($users[0]), 'two' => $pool($users[1])], [], $settings);
        $workers = [];
        foreach (['one', 'two'] as $at => $name) {
            self::assertSame($users[$at], $this->ask($name, 'key=1')['uid']);
            $workers += $this->workers($name, 2);
        }
        $reader = Reader::open($this->settings($settings));
        $status = $reader->status();
        self::assertSame(count($workers) + 1, $status['attached']);
        self::assertSame(1, $status['generation']);
        // Each pool takes over from the other, until all first workers are gone.
        for ($kill = 0; $kill < 4; $kill++) {
            $this->killOwner($reader, $kill % 2 === 0 ? 'two' : 'one');
            $this->routeAll('one', 5);
            $this->routeAll('two', 5);
        }
        self::assertGreaterThanOrEqual(4, $reader->status()['takeovers']);
        // A reload replaces all workers.
        $before = $this->workers('one', 2) + $this->workers('two', 2);
        proc_terminate($this->fpm, SIGUSR2);
        $this->waitUntil('the reload is done', function () use ($before): bool {
            $pids = [$this->ask('one', 'key=1')['pid'] ?? null, $this->ask('two', 'key=1')['pid'] ?? null];
            return !in_array(null, $pids, true) && !isset($before[$pids[0]]) && !isset($before[$pids[1]]);
        });
        $after = $this->workers('one', 2) + $this->workers('two', 2);
        self::assertSame([], array_intersect_key($before, $after));
        $this->waitUntil('a new worker tends', fn () => isset($after[(int) $reader->status()['owner_pid']]));
        $this->waitUntil('it is healthy', fn () => $reader->status()['healthy']);
    }

    public function testRecycledWorkersWithPreloadedClasses(): void
    {
        if (!extension_loaded('Zend OPcache')) {
            self::skip('this PHP has no opcache');
        }
        $user = posix_getpwuid(posix_geteuid())['name'];
        $php = ["zend_extension=opcache", 'opcache.enable=1', 'ffi.enable=preload',
            "opcache.preload_user=$user", "opcache.preload={$this->place}/preload.php"];
        // The script has no autoloader: all classes are there.
        unlink("{$this->place}/examples/autoload.php");
        $this->start(['www' => "pm.max_children = 3\npm.max_requests = 5"], $php);
        self::assertGreaterThan(6, count($this->routeAll('www', 60)));
        // They do not close: the segment stays, and another worker takes over.
        $reader = Reader::open($this->settings());
        $this->waitUntil('another worker has taken over', function () use ($reader): bool {
            $this->ask('www', 'key=1');
            return $reader->status()['takeovers'] >= 1;
        });
        self::assertSame(1, $reader->status()['generation']);
    }

    /** PHP leaves a call where memory ends, and calls no destructors then. */
    public function test_h188_php_requests_that_end_early_leave_nothing(): void
    {
        file_put_contents("{$this->place}/batch.php", <<<'E'
            <?php
            require __DIR__ . '/examples/autoload.php';
            register_shutdown_function(function () use (&$client): void {
                $client->route('test', 'users', 1);
                if (isset($_GET['forget'])) {
                    error_clear_last();
                }
            });
            $client = Tendmap\Client::connect(getenv('TENDMAP_HOSTS'), json_decode(getenv('TENDMAP_SETTINGS'), true));
            $client->route('test', 'users', 1);
            $changes = $client->changes();
            match ($_GET['end'] ?? null) {
                null => null,
                'throw' => throw new Exception('end'),
                'error' => trigger_error('end', E_USER_ERROR),
                'exit' => exit(),
            };
            $keys = range(1, 130000);
            if (isset($_GET['text'])) {
                $keys = array_map(strval(...), $keys);
            }
            ini_set('memory_limit', memory_get_usage(true) + ((int) ($_GET['room'] ?? 30000) << 10));
            $found = count($client->routeBatch('test', 'users', $keys));
            echo json_encode(['pid' => getmypid(), 'found' => $found, 'open' => count(scandir('/proc/self/fd')),
                'resident' => (int) explode(' ', file_get_contents('/proc/self/statm'))[1] << 12]);
            E);
        $this->start(['www' => "pm.max_children = 1\nphp_flag[display_errors] = off"]);
        $this->script = "{$this->place}/batch.php";
        // That little is used up by the arrays that its engine makes.
        $ends = ['room=3072', 'room=4096', 'room=3072&text', 'room=3072&forget', 'end=error&forget', 'end=throw', 'end=error', 'end=exit'];
        $fail = function (int $rounds) use ($ends): void {
            for ($round = 0; $round < $rounds; $round++) {
                foreach ($ends as $query) {
                    self::assertNull($this->ask('www', $query));
                }
            }
        };
        $answer = fn (): ?array => $this->ask('www', '');
        $fail(1);
        $before = $answer();
        $fail(5);
        $after = $answer();
        self::assertSame([130000, $before['pid']], [$after['found'], $after['pid']]);
        // The worker may be connecting to a node at the moment.
        $this->waitUntil('no descriptor is left', fn () => $answer()['open'] <= $before['open']);
        self::assertLessThan(2 << 20, $after['resident'] - $before['resident']);
    }
}
