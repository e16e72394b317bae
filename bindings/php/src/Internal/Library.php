<?php

declare(strict_types=1);

namespace Tendmap\Internal;

use Tendmap\LibraryError;

/**
 * Loads libtendmap.so through FFI: the file that TENDMAP_LIBRARY names, or
 * libtendmap.so.0 wherever the system's loader looks.
 *
 * @internal
 */
final class Library
{
    private const NAME = 'libtendmap.so.0';

    /** The part of tendmap.h that is used; FFI reads no preprocessor lines. */
    private const DECLARATIONS = <<<'C'
        typedef struct tendmap_config tendmap_config;
        typedef struct tendmap_client tendmap_client;
        typedef struct tendmap_router tendmap_router;
        typedef struct tendmap_changes tendmap_changes;
        typedef struct tendmap_node {
            uint16_t index;
            uint16_t port;
            uint32_t incarnation;
            char name[32];
            char host[64];
            char address[64];
            char tls_name[256];
            char build[32];
        } tendmap_node;
        typedef struct tendmap_route {
            uint64_t sequence;
            void *state;
            uint32_t partition;
            uint32_t incarnation;
            uint16_t node;
            uint16_t replica;
        } tendmap_route;
        tendmap_config *tendmap_config_new(const char *hosts);
        int tendmap_config_set(tendmap_config *config, const char *name, const char *value);
        void tendmap_config_free(tendmap_config *config);
        tendmap_client *tendmap_connect(const tendmap_config *config);
        tendmap_client *tendmap_reader_open(const tendmap_config *config);
        int tendmap_close(tendmap_client *client);
        int tendmap_keep(const tendmap_client *client);
        int tendmap_client_role(const tendmap_client *client);
        char *tendmap_client_status_json(const tendmap_client *client);
        int tendmap_client_nodes(const tendmap_client *client, tendmap_node *nodes,
                                 size_t capacity, size_t *count);
        int tendmap_client_next_event(const tendmap_client *client, char **event);
        int tendmap_client_request_tend(const tendmap_client *client);
        int tendmap_client_set_preferred_racks(const tendmap_client *client,
                                               const int32_t *racks, size_t count);
        int tendmap_client_set_tend_interval(const tendmap_client *client, uint64_t ms);
        int tendmap_client_set_password(const tendmap_client *client, const char *password);
        int tendmap_wait_for_change(const tendmap_client *client, uint64_t sequence,
                                    uint64_t timeout_ms, uint64_t *now);
        tendmap_changes *tendmap_changes_new(const tendmap_client *client);
        int tendmap_changes_fd(const tendmap_changes *changes);
        int tendmap_changes_take(const tendmap_changes *changes, uint64_t *sequence);
        int tendmap_changes_free(tendmap_changes *changes);
        void tendmap_string_free(char *text);
        tendmap_router *tendmap_router_new(const tendmap_client *client, void *free_state);
        int tendmap_router_free(tendmap_router *router);
        int tendmap_router_namespace(tendmap_router *router, const char *name, uint64_t *out);
        int tendmap_router_node(tendmap_router *router, uint16_t node, tendmap_node *out);
        int tendmap_route_integer(tendmap_router *router, uint64_t name_space, const char *set,
                                  int64_t key, uint32_t policy, tendmap_route *out);
        int tendmap_route_string(tendmap_router *router, uint64_t name_space, const char *set,
                                 const char *key, size_t length, uint32_t policy,
                                 tendmap_route *out);
        int tendmap_route_bytes(tendmap_router *router, uint64_t name_space, const char *set,
                                const char *key, size_t length, uint32_t policy,
                                tendmap_route *out);
        int tendmap_route_double(tendmap_router *router, uint64_t name_space, const char *set,
                                 double key, uint32_t policy, tendmap_route *out);
        int tendmap_route_digest(tendmap_router *router, uint64_t name_space,
                                 const char *digest, uint32_t policy, tendmap_route *out);
        int tendmap_route_retry(tendmap_router *router, uint64_t name_space, uint32_t policy,
                                tendmap_route *route);
        int tendmap_route_batch_integers(tendmap_router *router, uint64_t name_space,
                                         const char *set, const int64_t *keys, size_t count,
                                         uint32_t policy, uint16_t *nodes, uint64_t *sequence);
        int tendmap_route_batch_digests(tendmap_router *router, uint64_t name_space,
                                        const void *digests, size_t count, uint32_t policy,
                                        uint16_t *nodes, uint64_t *sequence);
        int tendmap_last_error_code(void);
        const char *tendmap_last_error(void);
        const char *tendmap_version(void);
        C;

    /** Functions of PHP that are needed with FFI, and that some hosts disable. */
    private const FUNCTIONS = ['getmypid', 'hash', 'pack', 'unpack', 'preg_match',
        'register_shutdown_function'];

    /** @var array<string, LibraryCalls> by path */
    private static array $loaded = [];

    /**
     * The library, of this package's version.
     *
     * @return LibraryCalls
     */
    public static function load(): object
    {
        $path = getenv('TENDMAP_LIBRARY');
        $path = $path === false || $path === '' ? self::NAME : $path;
        return self::$loaded[$path] ??= self::open($path);
    }

    /** @return LibraryCalls */
    private static function open(string $path): object
    {
        if (!extension_loaded('FFI')) {
            throw new LibraryError('PHP has neither the extension tendmap nor FFI here; install one of them '
                . '(Debian: FFI is in php-common, phpenmod ffi)');
        }
        $disabled = array_filter(self::FUNCTIONS, static fn (string $name): bool => !function_exists($name));
        if ($disabled !== []) {
            throw new LibraryError('PHP lacks functions here: disable_functions has ' . implode(', ', $disabled)
                . '; remove them from it, or install the extension tendmap');
        }
        try {
            // Its version first: another one may lack functions.
            /** @var LibraryCalls $library */
            $library = \FFI::cdef('const char *tendmap_version(void);', $path);
            Engines::checkVersion($path, $library->tendmap_version());
            /** @var LibraryCalls $library */
            $library = \FFI::cdef(self::DECLARATIONS, $path);
            return $library;
        } catch (\FFI\Exception $error) {
            throw new LibraryError(self::reason($path, $error->getMessage()), 0, $error);
        }
    }

    private static function reason(string $path, string $found): string
    {
        if (str_contains($found, 'ffi.enable')) {
            $set = (string) ini_get('ffi.enable');
            return "PHP may not use FFI here: ffi.enable is \"$set\"; set it to true, or to \"preload\" with "
                . 'opcache.preload=…/tendmap/preload.php, or install the extension tendmap';
        }
        $named = getenv('TENDMAP_LIBRARY');
        $where = $named === false || $named === ''
            ? "searched where the system's loader looks, as TENDMAP_LIBRARY is not set"
            : 'named by TENDMAP_LIBRARY';
        return "$path can't be used ($where): $found; install it (bindings/c/install.sh, then ldconfig), "
            . 'name its file by TENDMAP_LIBRARY, or install the extension tendmap';
    }
}
