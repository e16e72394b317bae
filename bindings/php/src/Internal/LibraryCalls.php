<?php

declare(strict_types=1);

namespace Tendmap\Internal;

use FFI\CData;

/**
 * The functions of the C library as FFI offers them. Nothing implements this interface: it
 * gives the calls their types.
 *
 * @internal
 */
interface LibraryCalls
{
    public function new(string $type): CData;

    public function tendmap_config_new(?string $hosts): ?CData;

    public function tendmap_config_set(
        CData $config,
        string $name,
        #[\SensitiveParameter]
        string $value,
    ): int;

    public function tendmap_config_free(CData $config): void;

    public function tendmap_connect(CData $config): ?CData;

    public function tendmap_reader_open(CData $config): ?CData;

    public function tendmap_close(CData $client): int;

    public function tendmap_keep(CData $client): int;

    public function tendmap_client_role(CData $client): int;

    public function tendmap_client_status_json(CData $client): ?CData;

    public function tendmap_client_nodes(CData $client, ?CData $nodes, int $capacity, CData $count): int;

    public function tendmap_client_next_event(CData $client, CData $event): int;

    public function tendmap_client_request_tend(CData $client): int;

    public function tendmap_client_set_preferred_racks(CData $client, ?CData $racks, int $count): int;

    public function tendmap_client_set_tend_interval(CData $client, int $ms): int;

    public function tendmap_client_set_password(
        CData $client,
        #[\SensitiveParameter]
        string $password,
    ): int;

    public function tendmap_wait_for_change(CData $client, int $sequence, int $ms, CData $now): int;

    public function tendmap_changes_new(CData $client): ?CData;

    public function tendmap_changes_fd(CData $changes): int;

    public function tendmap_changes_take(CData $changes, CData $sequence): int;

    public function tendmap_changes_free(CData $changes): int;

    public function tendmap_string_free(CData $text): void;

    public function tendmap_router_new(CData $client, null $free): ?CData;

    public function tendmap_router_free(CData $router): int;

    public function tendmap_router_namespace(CData $router, string $name, CData $out): int;

    public function tendmap_router_node(CData $router, int $node, CData $out): int;

    public function tendmap_route_integer(CData $router, int $namespace, string $set, int $key, int $policy, CData $out): int;

    public function tendmap_route_string(CData $router, int $namespace, string $set, string $key, int $length, int $policy, CData $out): int;

    public function tendmap_route_bytes(CData $router, int $namespace, string $set, string $key, int $length, int $policy, CData $out): int;

    public function tendmap_route_double(CData $router, int $namespace, string $set, float $key, int $policy, CData $out): int;

    public function tendmap_route_digest(CData $router, int $namespace, string $digest, int $policy, CData $out): int;

    public function tendmap_route_retry(CData $router, int $namespace, int $policy, CData $route): int;

    public function tendmap_route_batch_integers(CData $router, int $namespace, string $set, CData $keys, int $count, int $policy, CData $nodes, CData $sequence): int;

    public function tendmap_route_batch_digests(CData $router, int $namespace, CData $digests, int $count, int $policy, CData $nodes, CData $sequence): int;

    public function tendmap_last_error_code(): int;

    public function tendmap_last_error(): string;

    public function tendmap_version(): string;
}
