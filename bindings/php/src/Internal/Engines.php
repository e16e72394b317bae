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
        if ($found !== self::VERSION) {
            throw new LibraryError("the extension tendmap is of version $found; wanted " . self::VERSION
                . ', as the package: install both of one version');
        }
        return Extension::open($settings, $isReader);
    }

    public static function name(): string
    {
        return extension_loaded('tendmap') ? 'extension' : 'ffi';
    }
}
