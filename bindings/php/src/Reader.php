<?php

declare(strict_types=1);

namespace Tendmap;

use Tendmap\Internal\Settings;

/**
 * Reads the map that other processes keep current: without a thread, without the network
 * and with permission to read alone.
 */
final class Reader extends Session
{
    /**
     * Attaches to the segment of the settings' key, whether it has an owner or not.
     *
     * @param array<string, string|int|float|bool|array<int|string>|null> $settings of these
     *     it uses shm_key, shm_backend, shm_directory, shm_owner, shm_allow_group_write,
     *     preferred_racks and cluster_name
     * @throws SegmentError if there is no segment yet
     */
    public static function open(
        #[\SensitiveParameter]
        mixed $settings = [],
    ): self {
        return new self(Settings::read(null, $settings), true);
    }
}
