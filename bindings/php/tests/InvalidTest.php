<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\ArgumentError;
use Tendmap\Client;
use Tendmap\ClosedError;
use Tendmap\ConfigError;
use Tendmap\Error;
use Tendmap\Key;
use Tendmap\NamespaceUnknownError;
use Tendmap\Reader;
use Tendmap\Role;

final class InvalidTest extends TestCase
{
    /** @return array<string, mixed> values that are no text, and that PHP would convert */
    private static function odd(): array
    {
        $stringable = new class () {
            public function __toString(): string
            {
                return 'test';
            }
        };
        return ['1.0' => 1.0, '1.5' => 1.5, '1e30' => 1e30, 'NAN' => NAN, 'INF' => INF, 'true' => true,
            'false' => false, 'array' => [[1]], 'object' => new \stdClass(), 'stringable' => $stringable,
            '2 ** 63' => 2 ** 63, 'closure' => fn () => 1, 'resource' => STDIN];
    }

    public function test_h109_php_converts_no_argument_of_a_wrong_type(): void
    {
        $client = $this->connect();
        // Calls from a file without strict_types.
        $loose = require __DIR__ . '/loose.php';
        $calls = $loose($client, $this->settings());
        foreach ($calls as $what => [$call, $codes]) {
            foreach (self::odd() + ['null' => null] as $name => $value) {
                if ($value === null && in_array($what, ['set', 'set of a batch', 'timeout', 'shm_key'], true)) {
                    continue;
                }
                try {
                    $call($value);
                    self::fail("$what took $name");
                } catch (Error $error) {
                    self::assertContains($error->getCode(), $codes, "$what of $name: {$error->getMessage()}");
                }
            }
        }
        foreach (['set', 'namespace', 'hosts', 'settings', 'user', 'shm_directory', 'bytes', 'double'] as $what) {
            self::assertInstanceOf(ArgumentError::class, $this->refused(fn () => $calls[$what][0](7)), $what);
        }
        self::assertNotSame(
            $client->locate('test', 'users', '7')->partition,
            $client->locate('test', 'users', 7)->partition,
        );
        $text = $this->refused(fn () => $client->route('test', 'users', 1.5))->getMessage();
        self::assertSame('key of type float; wanted an int, a string or a Tendmap\Key', $text);
        $text = $this->refused(fn () => $client->route('test', 'users', true))->getMessage();
        self::assertSame('key of type bool; wanted an int, a string or a Tendmap\Key', $text);
        foreach (['policy', 'policy of locate', 'policy of a batch'] as $what) {
            foreach (['any', 2, null, Role::Owner] as $value) {
                $text = $this->refused(fn () => $calls[$what][0]($value))->getMessage();
                self::assertSame('policy of type ' . get_debug_type($value) . '; wanted a Tendmap\Policy', $text);
            }
        }
        $text = $this->refused(fn () => $calls['route'][0]('x'))->getMessage();
        self::assertSame('route of type string; wanted the Tendmap\Route of locate()', $text);
    }

    public function testNoTextIsCutAtAZeroByteAndNoneIsOfAnotherEncoding(): void
    {
        $client = $this->connect();
        $calls = [
            fn () => $client->route("te\0st", 'users', 1),
            fn () => $client->route('test', "users\0x", 1),
            fn () => $client->route("test\0", 'users', 1),
            fn () => $client->route('test', 'users', "\xff"),
            fn () => $client->route('test', "\xff", 1),
            fn () => $client->routeBatch('test', "users\0x", [1]),
            fn () => $client->routeBatch('test', 'users', [1, "\xff"]),
            fn () => Client::connect("a\0b"),
            fn () => Client::connect(['a,b']),
            fn () => Client::connect('a', ['shm_directory' => "/dev/shm\0/x"]),
            fn () => Key::digest('short'),
        ];
        foreach ($calls as $at => $call) {
            $error = $this->refused($call);
            $code = str_contains($error->getMessage(), 'wanted text without') || str_contains($error->getMessage(), 'comma') ? 10 : 1;
            self::assertSame($code, $error->getCode(), "$at: {$error->getMessage()}");
            self::assertMatchesRegularExpression('/zero byte|UTF-8|comma|5 bytes/', $error->getMessage());
        }
    }

    public function testErrorsHaveTheTextsAndCodesOfTheLibrary(): void
    {
        $client = $this->connect();
        $unknown = $this->refused(fn () => $client->route('nowhere', 'users', 1));
        self::assertInstanceOf(NamespaceUnknownError::class, $unknown);
        self::assertSame(23, $unknown->getCode());
        self::assertStringContainsString('nowhere', $unknown->getMessage());
        $setting = $this->refused(fn () => $this->connect(['shm_nodes' => 3]));
        self::assertInstanceOf(ConfigError::class, $setting);
        self::assertStringContainsString('no setting "shm_nodes"', $setting->getMessage());
        $value = $this->refused(fn () => $this->connect(['shm_key' => 'x']));
        self::assertInstanceOf(ConfigError::class, $value);
        self::assertInstanceOf(\RuntimeException::class, $value);
        $reader = Reader::open($this->settings());
        self::assertFalse(method_exists($reader, 'events'));
        // Modes are octal numbers in PHP; lists and tables are lists of the library.
        self::assertSame('owner', $this->connect(['shm_mode' => 0600, 'shm_key' => 0xA7000001,
            'ip_map' => ['10.0.0.1' => '127.0.0.1'], 'preferred_racks' => [1, 2]])->role()->value);
    }

    public function testAClosedClientRefusesEveryCall(): void
    {
        $client = $this->connect();
        $route = $client->locate('test', 'users', 1);
        $changes = $client->changes();
        $client->close();
        $calls = [
            'route' => fn () => $client->route('test', 'users', 1),
            'locate' => fn () => $client->locate('test', 'users', 1),
            'retry' => fn () => $client->retry($route),
            'batch' => fn () => $client->routeBatch('test', 'users', [1]),
            'nodes' => fn () => $client->nodes(),
            'status' => fn () => $client->status(),
            'role' => fn () => $client->role(),
            'sequence' => fn () => $client->sequence(),
            'wait' => fn () => $client->waitForChange(1),
            'changes' => fn () => $client->changes(),
            'events' => fn () => $client->events(),
            'tend' => fn () => $client->requestTend(),
            'racks' => fn () => $client->setPreferredRacks([]),
            'interval' => fn () => $client->setTendInterval(1),
            'password' => fn () => $client->setPassword('x'),
            'keep' => fn () => $client->keep(),
        ];
        foreach ($calls as $what => $call) {
            $error = $this->refused($call);
            self::assertInstanceOf(ClosedError::class, $error, $what);
            self::assertSame([2, 'the client is closed'], [$error->getCode(), $error->getMessage()], $what);
        }
        self::assertInstanceOf(ClosedError::class, $this->refused($changes->take(...)));
        $changes->close();
        $changes->close();
        foreach ([$changes->take(...), $changes->fd(...), $changes->stream(...)] as $call) {
            self::assertSame('the handle for changes is closed', $this->refused($call)->getMessage());
        }
    }

    public function test_h223_php_takes_no_setting_that_is_not_text(): void
    {
        $client = $this->connect();
        $calls = [
            'password' => fn () => $client->setPassword("\xff"),
            'cluster_name' => fn () => $this->connect(['cluster_name' => "\xff"]),
        ];
        foreach ($calls as $what => $call) {
            $error = $this->refused($call);
            self::assertInstanceOf(ArgumentError::class, $error);
            self::assertStringStartsWith("$what is not UTF-8: ", $error->getMessage());
        }
    }

    public function test_h179_php_shows_no_password(): void
    {
        $secret = 'hunter2-hunter2';
        $this->cluster = new Simulator('--nodes', '1', '--user', "ann:$secret");
        $settings = ['user' => 'ann', 'password' => $secret];
        $client = $this->connect($settings);
        ob_start();
        var_dump($client, $client->changes());
        $output = ob_get_clean() . print_r($client, true) . print_r($client->events(), true);
        $failures = [
            fn () => $this->connect($settings + ['shm_nodes' => 3]),
            fn () => $this->connect(['password' => 7] + $settings),
            fn () => $this->connect(['password' => "$secret\0"] + $settings),
            fn () => $this->connect(['password' => [$secret, "$secret\0"]] + $settings),
            fn () => $this->connect(['shm_key' => 0xA7000009, 'password' => "$secret?"] + $settings),
            fn () => Reader::open(['shm_key' => 0xA7000008, 'password' => $secret]),
            fn () => $client->setPassword("$secret\0"),
            fn () => $client->setPassword([$secret]),
            fn () => serialize($client),
        ];
        foreach ($failures as $call) {
            $error = $this->refused($call);
            $output .= $error->getMessage() . $error->getTraceAsString();
            for (; $error !== null; $error = $error->getPrevious()) {
                foreach ($error->getTrace() as $frame) {
                    if (str_starts_with($frame['class'] ?? '', 'Tendmap\\') && !str_contains($frame['class'], 'Tests')) {
                        $output .= print_r($frame['args'] ?? [], true);
                    }
                }
            }
        }
        self::assertStringNotContainsString($secret, $output);
        $client->setPassword($secret);
    }

    public function testThereAreNoTwoObjectsOfOneClient(): void
    {
        $client = $this->connect();
        foreach ([$client, $client->changes(), Reader::open($this->settings())] as $object) {
            try {
                clone $object;
                self::fail('it was cloned');
            } catch (\Error $error) {
                self::assertStringContainsString('clone', $error->getMessage());
            }
            self::assertInstanceOf(ArgumentError::class, $this->refused(fn () => serialize($object)));
        }
        $forged = 'O:14:"Tendmap\Client":0:{}';
        self::assertInstanceOf(ArgumentError::class, $this->refused(fn () => unserialize($forged)));
        // Objects without a constructor are closed, and harm nothing.
        $class = new \ReflectionClass(Client::class);
        $empty = $class->newInstanceWithoutConstructor();
        self::assertInstanceOf(ClosedError::class, $this->refused(fn () => $empty->route('test', 'users', 1)));
    }

    /** Texts of serialize() that others have written. */
    public function testForgedObjectsAreRefused(): void
    {
        $client = $this->connect();
        foreach ([Key::bytes("\xff"), Key::double(1.5), Key::digest(str_repeat('d', 20))] as $key) {
            $same = unserialize(serialize($key));
            self::assertEquals($client->route('test', 'users', $key), $client->route('test', 'users', $same));
        }
        $key = fn (string $fields): string => 'O:11:"Tendmap\Key":' . $fields;
        $forged = [
            'O:15:"Tendmap\Changes":0:{}',
            $key('0:{}'),
            $key('2:{s:4:"kind";i:0;s:5:"value";s:3:"abc";}'),
            $key('2:{s:4:"kind";i:2;s:5:"value";s:3:"abc";}'),
            $key('2:{s:4:"kind";i:4;s:5:"value";d:1.5;}'),
            $key('2:{s:4:"kind";i:9;s:5:"value";s:20:"abcdabcdabcdabcdabcd";}'),
            $key('2:{s:4:"kind";s:1:"4";s:5:"value";s:3:"abc";}'),
            $key('1:{s:4:"kind";i:4;}'),
        ];
        foreach ($forged as $text) {
            self::assertInstanceOf(ArgumentError::class, $this->refused(fn () => unserialize($text)), $text);
        }
        // Routes are checked when they are used.
        $route = $client->locate('test', 'users', 1);
        self::assertEquals($client->retry($route), $client->retry(unserialize(serialize($route))));
        $partition = "s:9:\"partition\";i:{$route->partition};";
        foreach ([-5, 4096, PHP_INT_MAX, 2 ** 32 + $route->partition, 2 ** 16 + $route->partition] as $number) {
            $text = str_replace($partition, "s:9:\"partition\";i:$number;", serialize($route));
            $error = $this->refused(fn () => $client->retry(unserialize($text)));
            self::assertContains($error->getCode(), [1, 25], $error->getMessage());
        }
        // Objects without a constructor are closed, and harm nothing.
        $changes = (new \ReflectionClass(\Tendmap\Changes::class))->newInstanceWithoutConstructor();
        self::assertSame('the handle for changes is closed', $this->refused($changes->take(...))->getMessage());
        unset($changes);
        foreach (['FfiSession', 'FfiChanges'] as $class) {
            $class = new \ReflectionClass("Tendmap\\Internal\\$class");
            self::assertFalse($class->isCloneable());
            $empty = $class->newInstanceWithoutConstructor();
            $empty->close();
        }
    }

    /** The extension is internal, but no call of it ends the process. */
    public function testDirectCallsOfTheExtensionAreRefused(): void
    {
        if (!self::hasExtension()) {
            self::assertFalse(class_exists(\Tendmap\Extension\Session::class));
            return;
        }
        $texts = new \SensitiveParameterValue($this->settings(['hosts' => implode(',', $this->cluster->seeds),
            'tend_interval' => '0.05']));
        $session = \Tendmap\Extension\Session::open($texts, false);
        $session->route('test', 'users', 1, 7, 1);
        $odd = [null, true, -1, PHP_INT_MAX, 1.5, NAN, "\xff\0", [], [[]], new \stdClass(), fn () => 1, STDIN];
        $calls = 0;
        foreach ((new \ReflectionClass($session))->getMethods(\ReflectionMethod::IS_PUBLIC) as $method) {
            if (in_array($method->getName(), ['close', 'wait', 'keep'], true)) {
                continue;
            }
            foreach ($odd as $value) {
                $arguments = array_fill(0, $method->getNumberOfParameters(), $value);
                try {
                    $method->invokeArgs($method->isStatic() ? null : $session, $arguments);
                } catch (\Throwable) {
                    $calls++;
                }
            }
        }
        self::assertGreaterThan(100, $calls);
        self::assertNotNull($session->route('test', 'users', 1, 7, 1));
        $session->close();
        try {
            $session->route('test', 'users', 1, 7, 1);
            self::fail('it was not refused');
        } catch (ClosedError $error) {
            self::assertSame(2, $error->getCode());
        }
    }

    /** Neither calls nor errors, clients, descriptors or events leave memory behind. */
    public function testMemoryDoesNotGrow(): void
    {
        $client = $this->connect();
        $work = function (int $rounds) use ($client): void {
            $keys = [1, 'two', Key::bytes('three'), Key::double(4.0)];
            for ($round = 0; $round < $rounds; $round++) {
                foreach ($keys as $key) {
                    $client->retry($client->locate('test', "set-$round", $key));
                    $client->route('test', 'users', $key);
                }
                $client->routeBatch('test', 'users', $keys + [9 => str_repeat('x', 1000)]);
                $this->refused(fn () => $client->route('nowhere', 'users', $round));
                $this->refused(fn () => $client->route('test', "\xff$round", 1));
                if ($round % 20 === 0) {
                    $client->nodes();
                    $client->status();
                    $client->events();
                    $client->changes()->take();
                    Reader::open($this->settings())->route('test', 'users', 1);
                    $this->connect()->route('test', 'users', 1);
                }
            }
            gc_collect_cycles();
        };
        $resident = fn (): int => 4096 * (int) explode(' ', (string) file_get_contents('/proc/self/statm'))[1];
        $work(600);
        $before = $resident();
        $work(3000);
        self::assertLessThan(4 << 20, $resident() - $before);
    }
}
