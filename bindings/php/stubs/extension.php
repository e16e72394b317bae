<?php

/** What the native extension offers; for tools that read types. */

declare(strict_types=1);

namespace Tendmap\Extension;

use Tendmap\Node;

/**
 * @internal
 * @phpstan-import-type NodeFields from \Tendmap\Internal\FfiSession
 */
final class Session
{
    /** @param \SensitiveParameterValue $settings an array of texts */
    public static function open(\SensitiveParameterValue $settings, bool $isReader): self
    {
    }

    public function close(): void
    {
    }

    public function route(string $namespace, string $set, int $kind, int|float|string $key, int $policy): Node|int
    {
    }

    /** @return array{int, int, int, int} sequence, partition, replica, node */
    public function locate(string $namespace, string $set, int $kind, int|float|string $key, int $policy): array
    {
    }

    /** @return array{int, int, int, int} sequence, partition, replica, node */
    public function retry(string $namespace, int $policy, int $partition, int $replica, int $node): array
    {
    }

    /**
     * @param list<int|string|array{int, float|string}> $keys other keys with their kinds
     * @return list<int>
     */
    public function batch(string $namespace, string $set, array $keys, bool $integers, int $policy): array
    {
    }

    public function known(int $index): ?Node
    {
    }

    public function seen(): int
    {
    }

    public function remember(int $index, Node $node, int $seen): void
    {
    }

    /** @return NodeFields */
    public function node(int $index): array
    {
    }

    /** @return list<NodeFields> */
    public function nodes(): array
    {
    }

    public function status(): string
    {
    }

    public function role(): int
    {
    }

    public function wait(int $sequence, int $ms): int
    {
    }

    public function changes(): Changes
    {
    }

    public function nextEvent(): ?string
    {
    }

    public function requestTend(): void
    {
    }

    public function keep(): void
    {
    }

    /** @param list<int> $racks */
    public function setPreferredRacks(array $racks): void
    {
    }

    public function setTendInterval(int $ms): void
    {
    }

    /** @param \SensitiveParameterValue $password a text */
    public function setPassword(\SensitiveParameterValue $password): void
    {
    }
}

/** @internal */
final class Changes
{
    public function fd(): int
    {
    }

    public function take(): int
    {
    }

    public function close(): void
    {
    }
}
