<?php

declare(strict_types=1);

namespace Tendmap\Internal;

use Tendmap\Extension\Session as Extension;
use Tendmap\LibraryError;

/**
 * Chooses what the classes of this package call: the native extension if it is loaded,
 * else the C library through FFI.
 *
 * @internal
 */
final class Engines
{
    /** The version of this package, of the library and of the extension. */
    public const VERSION = '0.1.0';

    /** @param \SensitiveParameterValue $settings an array of texts, which no stack trace shows */
    public static function open(\SensitiveParameterValue $settings, bool $isReader): FfiSession|Extension
    {
        $found = phpversion('tendmap');
        if ($found === false) {
            return new FfiSession($settings, $isReader);
        }
        self::checkVersion('the extension tendmap', $found);
        return Extension::open($settings, $isReader);
    }

    /** Refuses what is of another version, before anything else of it is used. */
    public static function checkVersion(string $what, string $found): void
    {
        if ($found !== self::VERSION) {
            throw new LibraryError("$what is of version $found; wanted " . self::VERSION . ', as the package: '
                . 'install both of one version (TENDMAP_LIBRARY names the file of the library)');
        }
    }

    public static function name(): string
    {
        return extension_loaded('tendmap') ? 'extension' : 'ffi';
    }
}
