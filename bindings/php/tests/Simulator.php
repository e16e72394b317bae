<?php

declare(strict_types=1);

namespace Tendmap\Tests;

/** A simulated cluster: a process `tendmap sim`. */
final class Simulator
{
    /** @var list<string> */
    public readonly array $seeds;
    /** @var resource */
    private $process;
    /** @var array<int, resource> */
    private array $pipes = [];

    public function __construct(string ...$arguments)
    {
        $command = [self::program(), 'sim', '--namespace', 'test:2', '--cluster-name', 'lab', ...$arguments];
        $process = proc_open($command, [['pipe', 'r'], ['pipe', 'w']], $this->pipes);
        assert(is_resource($process));
        $this->process = $process;
        $this->seeds = $this->line()['seeds'];
    }

    public function __destruct()
    {
        array_map(fclose(...), $this->pipes);
        proc_close($this->process);
    }

    public static function program(): string
    {
        return getenv('TENDMAP') ?: dirname(__DIR__, 3) . '/target/debug/tendmap';
    }

    /** @return array<string, mixed> the answer to a command of the console */
    public function ask(string $command): array
    {
        fwrite($this->pipes[0], "$command\n");
        $answer = $this->line();
        assert($answer['ok'] === true, json_encode($answer));
        return $answer;
    }

    /** @return array<string, mixed> */
    private function line(): array
    {
        $line = fgets($this->pipes[1]);
        assert(is_string($line), 'the simulator has ended');
        return json_decode($line, true, flags: JSON_THROW_ON_ERROR);
    }
}
