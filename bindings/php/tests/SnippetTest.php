<?php

declare(strict_types=1);

namespace Tendmap\Tests;

/** The documents' snippets, as a reader would copy them. */
final class SnippetTest extends TestCase
{
    /** @return list<string> the blocks of a language */
    private static function snippets(string $document, string $language): array
    {
        $text = (string) file_get_contents(self::PACKAGE . "/$document");
        preg_match_all("/^```$language\n(.*?)^```$/ms", $text, $found);
        return $found[1];
    }

    /** @return array{int, string} */
    private function runSnippet(string $code): array
    {
        $settings = "['shm_directory' => '{$this->directory}', 'tend_interval' => 0.05, 'shm_key' => 0xA7000000]";
        $code = strtr($code, [
            '127.0.0.1:3000' => implode(',', $this->cluster->seeds),
            "['shm_key' => 0xA7000000]" => $settings,
        ]);
        $script = "{$this->directory}/snippet.php";
        file_put_contents($script, "<?php\nrequire '" . __DIR__ . "/bootstrap.php';\n$code");
        return $this->php([$script]);
    }

    public function testTheSnippetsOfTheReadme(): void
    {
        [$first, $reader, $events, $loop] = self::snippets('README.md', 'php');
        $logger = "\$logger = new class { function log(\$level, \$name, \$details) { echo \"\$level \$name;\"; } };\n";
        [$code, $output] = $this->runSnippet("$first\n$logger\n$events");
        self::assertSame(0, $code, $output);
        self::assertStringContainsString('info owner;', $output);
        $client = $this->connect();
        $address = $client->route('test', 'users', 42)->address;
        self::assertSame([0, $address], $this->runSnippet($first));
        self::assertSame([0, 'reader'], $this->runSnippet("use Tendmap\\Reader;\n$reader echo \$reader->role()->value;"));
        // A loop with the call of Revolt.
        $revolt = <<<'E'
            final class EventLoop {
                static function onReadable($stream, $call): void {
                    file_put_contents(getenv('READY'), '');
                    $none = null;
                    for ($i = 0; $i < 2; $i++) {
                        $read = [$stream];
                        stream_select($read, $none, $none, 60) === 1 && $call();
                    }
                }
            }
            function update_pools(array $nodes): void { echo count($nodes), ';'; exit; }
            E;
        $ready = "{$this->directory}/ready";
        $command = "putenv('READY=$ready');\n$first\n$revolt\n$loop";
        $pid = pcntl_fork();
        if ($pid === 0) {
            // Changes the cluster as soon as the program has a handle, to which no change is lost.
            while (!file_exists($ready)) {
                usleep(1000);
            }
            $this->cluster->ask('add');
            posix_kill(posix_getpid(), SIGKILL);
        }
        [$code, $output] = $this->runSnippet($command);
        // The child ends also if the program has not come that far.
        touch($ready);
        pcntl_waitpid($pid, $status);
        self::assertMatchesRegularExpression('/[34];$/', $output);
    }

    public function testTheSnippetsOfTheGuideToServers(): void
    {
        $document = '../../docs/PREFORK.md';
        [$code] = self::snippets($document, 'php');
        $client = $this->connect();
        [$every, $preload] = self::snippets($document, 'ini');
        $name = $client->route('test', 'users', 42)->name;
        self::assertSame([0, $name], $this->runSnippet("$code\necho \$node->name;"));
        self::assertSame(['ffi.enable' => true], parse_ini_string($every, false, INI_SCANNER_TYPED));
        $read = parse_ini_string($preload, false, INI_SCANNER_TYPED);
        self::assertSame(['preload', 1, 'www-data'],
            [$read['ffi.enable'], $read['opcache.enable'], $read['opcache.preload_user']]);
        self::assertSame('preload.php', basename($read['opcache.preload']));
        self::assertFileExists(self::PACKAGE . '/' . basename($read['opcache.preload']));
    }
}
