<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\Internal\Engines;

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
            file_put_contents("$project/composer.json", json_encode([
                'repositories' => [
                    ['type' => 'path', 'url' => $path,
                        'options' => ['symlink' => false, 'versions' => ['tendmap/tendmap' => Engines::VERSION]]],
                    ['packagist.org' => false],
                ],
                'require' => ['tendmap/tendmap' => '^0.1'],
            ]));
            [$code, $output] = $this->execute([$composer, 'install', '--no-interaction', '--no-dev'], $env, $project);
            self::assertSame(0, $code, $output);
            $client = $this->connect();
            [$code, $output] = $this->php(["$project/vendor/tendmap/tendmap/examples/route.php", '42']);
            self::assertSame(0, $code, $output);
            self::assertStringContainsString($client->route('test', 'users', 42)->name, $output);
        } finally {
            $this->execute(['rm', '-rf', $project, "{$this->directory}/home"]);
        }
    }
}
