<?php

declare(strict_types=1);

namespace Tendmap\Tests;

use Tendmap\Internal\Engines;

/** How the library and the extension are found, or not. */
final class LibraryTest extends TestCase
{
    private const EXAMPLE = self::PACKAGE . '/examples/route.php';

    protected function setUp(): void
    {
        parent::setUp();
        if (self::hasExtension()) {
            self::markTestSkipped('the extension needs no library; this is tested without it');
        }
    }

    /** A library that has only a version. */
    private function stub(string $version): string
    {
        $path = "{$this->directory}/libstub.so";
        file_put_contents("{$this->directory}/stub.c", "const char *tendmap_version(void) { return \"$version\"; }");
        [$code, $output] = $this->execute(['cc', '-shared', '-fPIC', '-o', $path, "{$this->directory}/stub.c"]);
        self::assertSame(0, $code, $output);
        return $path;
    }

    public function test_h111_php_names_a_library_that_is_missing(): void
    {
        $missing = '/nowhere/libtendmap.so.0';
        [$code, $output] = $this->php([self::EXAMPLE], ['TENDMAP_LIBRARY' => $missing]);
        self::assertSame(1, $code);
        self::assertStringContainsString("$missing can't be used (named by TENDMAP_LIBRARY)", $output);
        self::assertStringContainsString('bindings/c/install.sh, then ldconfig', $output);
        // Without the setting, and without an installed library.
        $installed = shell_exec('/sbin/ldconfig -p') ?? '';
        if (!str_contains((string) $installed, 'libtendmap.so.0')) {
            [$code, $output] = $this->php([self::EXAMPLE], ['TENDMAP_LIBRARY' => '']);
            self::assertSame(1, $code);
            self::assertStringContainsString("libtendmap.so.0 can't be used (searched where", $output);
            self::assertStringContainsString('TENDMAP_LIBRARY', $output);
        }
        self::assertStringNotContainsString('FFI\Exception', $output);
    }

    public function test_h181_php_refuses_a_library_of_another_version(): void
    {
        [$code, $output] = $this->php([self::EXAMPLE], ['TENDMAP_LIBRARY' => $this->stub('0.0.9')]);
        self::assertSame(1, $code);
        self::assertStringContainsString('is of version 0.0.9; wanted 0.1.0, as the package', $output);
        $extension = $this->refused(fn () => Engines::checkVersion('the extension tendmap', '0.0.9'));
        self::assertStringContainsString('the extension tendmap is of version 0.0.9; wanted', $extension->getMessage());
        // Of this version, but incomplete.
        [$code, $output] = $this->php([self::EXAMPLE], ['TENDMAP_LIBRARY' => $this->stub('0.1.0')]);
        self::assertSame(1, $code);
        self::assertStringContainsString("can't be used", $output);
        // No library of tendmap at all.
        file_put_contents("{$this->directory}/text.so", 'text');
        [$code, $output] = $this->php([self::EXAMPLE], ['TENDMAP_LIBRARY' => "{$this->directory}/text.so"]);
        self::assertSame(1, $code);
        self::assertStringContainsString("text.so can't be used", $output);
    }

    public function testItSaysThatFfiIsOff(): void
    {
        $arguments = ['-d', 'ffi.enable=0', self::EXAMPLE];
        [$code, $output] = $this->php($arguments);
        self::assertSame(1, $code);
        self::assertStringContainsString('ffi.enable is "0"', $output);
        self::assertStringContainsString('preload.php', $output);
        [$code, $output] = $this->php(['-n', self::EXAMPLE], plain: true);
        self::assertSame(1, $code);
        self::assertStringContainsString('PHP has neither the extension tendmap nor FFI here', $output);
    }

    public function testItNamesAFunctionThatIsDisabled(): void
    {
        $arguments = ['-d', 'disable_functions=getmypid,pack', self::EXAMPLE];
        [$code, $output] = $this->php($arguments);
        self::assertSame(1, $code);
        self::assertStringContainsString('disable_functions has getmypid, pack', $output);
    }
}
