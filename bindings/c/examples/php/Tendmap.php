<?php
/**
 * Routing for PHP through the C library and FFI: for the command line and FPM.
 *
 *   $tendmap = new Tendmap('127.0.0.1:3000', ['shm_key' => '0xA7000000']);
 *   $node = $tendmap->route('test', 'users', 42);   // ['name' => …, 'address' => …]
 *
 * Create one object for each request. The process stays attached from one request to
 * the next, also when its objects are gone.
 */
final class Tendmap
{
    /** The part of tendmap.h that this class needs; FFI reads no preprocessor lines. */
    private const DECLARATIONS = <<<'C'
    typedef struct tendmap_config tendmap_config;
    typedef struct tendmap_client tendmap_client;
    typedef struct tendmap_router tendmap_router;
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
    int tendmap_close(tendmap_client *client);
    int tendmap_keep(const tendmap_client *client);
    int tendmap_client_role(const tendmap_client *client);
    char *tendmap_client_status_json(const tendmap_client *client);
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
    int tendmap_last_error_code(void);
    const char *tendmap_last_error(void);
    C;

    private const SEQUENCE = 1;
    private const ERROR_ARGUMENT = 1;
    /** Settings whose value may be any text. */
    private const TEXTS = ['cluster_name', 'user', 'password', 'tls_cafile', 'tls_certfile',
        'tls_keyfile', 'shm_directory'];
    /** @var array<string, FFI> by path */
    private static array $libraries = [];
    private FFI $library;
    private FFI\CData $client;
    private FFI\CData $router;
    /** @var array<string, int> numbers of namespaces */
    private array $namespaces = [];

    /**
     * Arguments are checked here: without strict_types in a script, PHP would convert
     * numbers to strings, and other values to numbers.
     *
     * @param string $hosts NAME:PORT, several separated by commas
     * @param array<string, string|int|float|bool> $settings as tendmap_config_set() has them
     * @param ?string $library null = as TENDMAP_LIBRARY says, or libtendmap.so.0
     */
    public function __construct(mixed $hosts, mixed $settings = [], mixed $library = null)
    {
        $this->library = self::load($library ?? (getenv('TENDMAP_LIBRARY') ?: 'libtendmap.so.0'));
        if (!is_array($settings)) {
            self::refuse('settings of type ' . get_debug_type($settings) . '; wanted an array');
        }
        $config = $this->made($this->library->tendmap_config_new(self::text('hosts', $hosts)));
        try {
            foreach ($settings as $name => $value) {
                $name = self::text('the name of a setting', $name);
                $this->check($this->library->tendmap_config_set(
                    $config, $name, self::value($name, $value)));
            }
            $this->client = $this->made($this->library->tendmap_connect($config));
        } finally {
            $this->library->tendmap_config_free($config);
        }
        $this->check($this->library->tendmap_keep($this->client));
        $this->router = $this->made($this->library->tendmap_router_new($this->client, null));
    }

    public function __destruct()
    {
        if (isset($this->router)) {
            $this->library->tendmap_router_free($this->router);
        }
        if (isset($this->client)) {
            $this->library->tendmap_close($this->client);
        }
    }

    /**
     * The node of a key: an int, or a string of UTF-8. "42" and 42 are two keys.
     *
     * @param string $namespace
     * @param string $set '' = no set
     * @param int|string $key
     * @return array{name: string, address: string, host: string, port: int, partition: int}
     */
    public function route(mixed $namespace, mixed $set, mixed $key): array
    {
        $namespace = self::text('a namespace', $namespace);
        $set = self::text('a set', $set);
        if (!is_int($key) && !is_string($key)) {
            self::refuse('a key of type ' . get_debug_type($key) . '; wanted an int or a string');
        }
        $route = $this->library->new('tendmap_route');
        // Not as a key by itself: PHP would convert "7" to an integer.
        $number = $this->namespaces["=$namespace"] ??= $this->resolve($namespace);
        $this->check(is_int($key)
            ? $this->library->tendmap_route_integer(
                $this->router, $number, $set, $key, self::SEQUENCE, FFI::addr($route))
            : $this->library->tendmap_route_string(
                $this->router, $number, $set, $key, strlen($key), self::SEQUENCE, FFI::addr($route)));
        $node = $this->library->new('tendmap_node');
        $this->check($this->library->tendmap_router_node($this->router, $route->node, FFI::addr($node)));
        return [
            'name' => FFI::string($node->name),
            'address' => FFI::string($node->address),
            'host' => FFI::string($node->host),
            'port' => $node->port,
            'partition' => $route->partition,
        ];
    }

    /** @return array<string, mixed> the output of `tendmap status --json` */
    public function status(): array
    {
        $text = $this->made($this->library->tendmap_client_status_json($this->client));
        try {
            return json_decode(FFI::string($text), true, flags: JSON_THROW_ON_ERROR);
        } finally {
            $this->library->tendmap_string_free($text);
        }
    }

    /** owner, standby, follower or closed */
    public function role(): string
    {
        $role = $this->library->tendmap_client_role($this->client);
        return ['owner', 'standby', 'follower', 'closed'][$role] ?? throw $this->error();
    }

    private function resolve(string $namespace): int
    {
        $number = $this->library->new('uint64_t');
        $this->check($this->library->tendmap_router_namespace(
            $this->router, $namespace, FFI::addr($number)));
        return $number->cdata;
    }

    /** A text for C, which ends at a zero byte: an inner one would silently truncate it. */
    private static function text(string $what, mixed $text): string
    {
        if (!is_string($text)) {
            self::refuse("$what of type " . get_debug_type($text) . '; wanted a string');
        }
        if (str_contains($text, "\0")) {
            $shown = $what === 'password' ? '' : json_encode($text, JSON_INVALID_UTF8_SUBSTITUTE);
            self::refuse("$what with a zero byte, $shown; only keys may have one");
        }
        return $text;
    }

    /** The value of a setting as text; a float keeps its decimal point, so that it never becomes an int. */
    private static function value(string $name, mixed $value): string
    {
        return match (true) {
            is_string($value), in_array($name, self::TEXTS, true) => self::text($name, $value),
            is_int($value) => (string) $value,
            is_float($value), is_bool($value) => var_export($value, true),
            default => self::refuse(
                "$name of type " . get_debug_type($value) . '; wanted a string, a number or a bool'),
        };
    }

    private static function load(mixed $path): FFI
    {
        $path = self::text('a library', $path);
        if (!extension_loaded('FFI')) {
            self::refuse('PHP has no FFI here; install and enable its extension');
        }
        try {
            return self::$libraries[$path] ??= FFI::cdef(self::DECLARATIONS, $path);
        } catch (FFI\Exception $error) {
            throw new RuntimeException(
                "$path can't be used: {$error->getMessage()}; install it (bindings/c/install.sh, then "
                . 'ldconfig), name it by TENDMAP_LIBRARY, and see that ffi.enable allows FFI here',
                self::ERROR_ARGUMENT, $error);
        }
    }

    private static function refuse(string $text): never
    {
        throw new RuntimeException($text, self::ERROR_ARGUMENT);
    }

    /** Two objects would close one client. */
    private function __clone()
    {
    }

    private function check(int $code): void
    {
        if ($code !== 0) {
            throw $this->error();
        }
    }

    private function made(?FFI\CData $pointer): FFI\CData
    {
        return $pointer ?? throw $this->error();
    }

    private function error(): RuntimeException
    {
        // FFI has converted it to a string, as it does with every returned `const char *`.
        $text = $this->library->tendmap_last_error();
        return new RuntimeException($text, $this->library->tendmap_last_error_code());
    }
}
