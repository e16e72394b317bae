<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\Internal\Engines;
use Tendmap\Internal\FfiChanges;
use Tendmap\Internal\FfiSession;
use Tendmap\Session;

final class PackageTest extends TestCase
{
    public function testEveryPartHasTheVersionOfTheProject(): void
    {
        $root = self::PACKAGE . '/../..';
        preg_match('/^version = "(.*)"$/m', (string) file_get_contents("$root/Cargo.toml"), $found);
        self::assertSame($found[1], Engines::VERSION);
        self::assertSame(self::hasExtension() ? $found[1] : false, phpversion('tendmap'));
        self::assertStringContainsString("\n## {$found[1]}\n", (string) file_get_contents(self::PACKAGE . '/CHANGELOG.md'));
        foreach (['LICENSE-MIT', 'LICENSE-APACHE'] as $file) {
            self::assertFileEquals("$root/$file", self::PACKAGE . "/$file");
        }
    }

    /** The shape that the comments give a status is that of a status. */
    public function testAStatusHasTheShapeOfItsType(): void
    {
        $comment = (string) (new \ReflectionClass(Session::class))->getDocComment();
        preg_match('/@phpstan-type Status array\{(.*?), \.\.\.\}$/ms', $comment, $found);
        $plain = (string) preg_replace('/array\{.*?\}|[\s*]+/', '', $found[1] ?? '');
        $types = [];
        foreach (explode(',', $plain) as $field) {
            [$name, $type] = explode(':', $field);
            $types[$name] = ltrim($type, '?') === '' ? 'list' : $type;
        }
        self::assertGreaterThan(40, count($types));
        $status = $this->connect()->status();
        foreach ($types as $name => $type) {
            self::assertArrayHasKey($name, $status);
            $value = $status[$name];
            $right = match (true) {
                $value === null => $type[0] === '?',
                is_int($value) => ltrim($type, '?') === 'int',
                is_bool($value) => $type === 'bool',
                is_string($value) => ltrim($type, '?') === 'string',
                default => array_is_list($value) && str_starts_with($type, 'list<'),
            };
            self::assertTrue($right, "$name is not $type: " . json_encode($value));
        }
    }

    /** What the package calls is the same in both engines, and in the stub of the extension. */
    public function testBothEnginesHaveTheSameMethods(): void
    {
        $methods = static function (string $class, array $without): array {
            $found = [];
            foreach ((new \ReflectionClass($class))->getMethods(\ReflectionMethod::IS_PUBLIC) as $method) {
                $found[$method->getName()] = $method->getNumberOfParameters();
            }
            ksort($found);
            return array_diff_key($found, array_flip($without));
        };
        $stub = (string) preg_replace('/^(<\?php|declare.*|namespace.*)$/m', '', (string) file_get_contents(
            self::PACKAGE . '/stubs/extension.php',
        ));
        eval('namespace Tendmap\\Stubs;' . $stub);
        foreach ([FfiSession::class => 'Session', FfiChanges::class => 'Changes'] as $class => $name) {
            $wanted = $methods($class, ['__construct', '__destruct']);
            self::assertSame($wanted, $methods("Tendmap\\Stubs\\$name", ['open']));
            if (self::hasExtension()) {
                self::assertSame($wanted, $methods("Tendmap\\Extension\\$name", ['open', '__construct']));
            }
        }
    }

    public function testTheExamplesRun(): void
    {
        $client = $this->connect();
        [$code, $output] = $this->php([self::PACKAGE . '/examples/route.php', '42', 'ann', '007']);
        self::assertSame(0, $code, $output);
        foreach ([42, 'ann', '007'] as $key) {
            $line = json_encode($key) . ': node ' . $client->route('test', 'users', $key)->name;
            self::assertStringContainsString($line, $output);
        }
        self::assertMatchesRegularExpression('/this process is (follower|standby); 3 nodes/', $output);
        [$code, $output] = $this->php([self::PACKAGE . '/examples/watch.php', '1']);
        self::assertSame(0, $code, $output);
        self::assertStringContainsString($client->nodes()[2]->address, $output);
    }

    /** The package in an empty project, as composer installs it. */
    public function testComposerInstallsItIntoAnEmptyProject(): void
    {
        $composer = trim((string) shell_exec('command -v composer'));
        if ($composer === '') {
            self::skip('composer is not installed');
        }
        $env = ['COMPOSER_HOME' => "{$this->directory}/home", 'COMPOSER_ALLOW_SUPERUSER' => '1'];
        $path = (string) realpath(self::PACKAGE);
        $project = "{$this->directory}/project";
        try {
            [$code, $output] = $this->execute(
                [$composer, 'validate', '--strict', '--no-check-lock', '--no-interaction', "$path/composer.json"],
                $env,
            );
            self::assertSame(0, $code, $output);
            mkdir($project);
            file_put_contents("$project/composer.json", '{"name": "you/app", "repositories": [{"packagist.org": false}]}');
            preg_match('/^composer config .*\n^composer require .*@dev$/m', (string) file_get_contents("$path/README.md"), $found);
            self::assertNotEmpty($found);
            $commands = str_replace('/path/to/tendmap/bindings/php', escapeshellarg($path), $found[0]);
            [$code, $output] = $this->execute(['sh', '-ec', $commands], $env + ['COMPOSER_NO_INTERACTION' => '1'], $project);
            self::assertSame(0, $code, $output);
            // A copy of the package has no sources of the library.
            mkdir("$project/copy/ext", recursive: true);
            copy("$path/ext/install.sh", "$project/copy/ext/install.sh");
            [$code, $output] = $this->execute(['bash', "$project/copy/ext/install.sh"]);
            self::assertSame(1, $code);
            self::assertStringContainsString('install.sh of a checkout of tendmap', $output);
            // One command, with a cluster of its own.
            $example = "$project/vendor/tendmap/tendmap/examples/simulated.php";
            [$code, $output] = $this->php([$example, '42'], ['TENDMAP' => Simulator::program()]);
            self::assertSame(0, $code, $output);
            self::assertMatchesRegularExpression('/^42: node BB9\w+ at .*\nthis process is owner; 3 nodes$/', trim($output));
            [$code, $output] = $this->php([$example], ['TENDMAP' => '/nowhere/tendmap']);
            self::assertSame(1, $code);
            self::assertStringContainsString('name it by TENDMAP', $output);
        } finally {
            $this->execute(['rm', '-rf', $project, "{$this->directory}/home"]);
        }
    }
}
