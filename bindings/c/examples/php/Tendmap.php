<?php
/**
 * Routing for PHP through the C library and FFI: for the command line and FPM.
 *
 *   $tendmap = new Tendmap('127.0.0.1:3000', ['shm_key' => '0xA7000000']);
 *   $node = $tendmap->route('test', 'users', 42);   // ['name' => …, 'address' => …]
 *
 * One object a request. The process stays attached from one request to the
 * next, whatever becomes of the objects.
 */
final class Tendmap
{
    /** What is needed of tendmap.h; FFI reads no preprocessor lines. */
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
    private static ?FFI $library = null;
    private FFI\CData $client;
    private FFI\CData $router;
    /** @var array<string, int> numbers of namespaces */
    private array $namespaces = [];

    /** @param array<string, string|int|bool> $settings as tendmap_config_set() has them */
    public function __construct(string $hosts, array $settings = [], string $library = 'libtendmap.so.0')
    {
        self::$library ??= FFI::cdef(self::DECLARATIONS, $library);
        $config = $this->made(self::$library->tendmap_config_new(self::text($hosts)));
        try {
            foreach ($settings as $name => $value) {
                $value = is_bool($value) ? var_export($value, true) : (string) $value;
                $this->check(self::$library->tendmap_config_set(
                    $config, self::text($name), self::text($value)));
            }
            $this->client = $this->made(self::$library->tendmap_connect($config));
        } finally {
            self::$library->tendmap_config_free($config);
        }
        $this->check(self::$library->tendmap_keep($this->client));
        $this->router = $this->made(self::$library->tendmap_router_new($this->client, null));
    }

    public function __destruct()
    {
        if (isset($this->router)) {
            self::$library->tendmap_router_free($this->router);
        }
        if (isset($this->client)) {
            self::$library->tendmap_close($this->client);
        }
    }

    /** @return array{name: string, address: string, host: string, port: int, partition: int} */
    public function route(string $namespace, string $set, int|string $key): array
    {
        $route = self::$library->new('tendmap_route');
        $set = self::text($set);
        $number = $this->namespaces[$namespace] ??= $this->resolve($namespace);
        $this->check(is_int($key)
            ? self::$library->tendmap_route_integer(
                $this->router, $number, $set, $key, self::SEQUENCE, FFI::addr($route))
            : self::$library->tendmap_route_string(
                $this->router, $number, $set, $key, strlen($key), self::SEQUENCE, FFI::addr($route)));
        $node = self::$library->new('tendmap_node');
        $this->check(self::$library->tendmap_router_node($this->router, $route->node, FFI::addr($node)));
        return [
            'name' => FFI::string($node->name),
            'address' => FFI::string($node->address),
            'host' => FFI::string($node->host),
            'port' => $node->port,
            'partition' => $route->partition,
        ];
    }

    /** @return array<string, mixed> what `tendmap status --json` tells */
    public function status(): array
    {
        $text = $this->made(self::$library->tendmap_client_status_json($this->client));
        try {
            return json_decode(FFI::string($text), true, flags: JSON_THROW_ON_ERROR);
        } finally {
            self::$library->tendmap_string_free($text);
        }
    }

    /** owner, standby, follower or closed */
    public function role(): string
    {
        $role = self::$library->tendmap_client_role($this->client);
        return ['owner', 'standby', 'follower', 'closed'][$role] ?? throw $this->error();
    }

    private function resolve(string $namespace): int
    {
        $number = self::$library->new('uint64_t');
        $this->check(self::$library->tendmap_router_namespace(
            $this->router, self::text($namespace), FFI::addr($number)));
        return $number->cdata;
    }

    /** A text for C, which ends at a zero byte: one amid it would cut it, unseen. */
    private static function text(string $text): string
    {
        if (str_contains($text, "\0")) {
            throw new RuntimeException(
                'a text with a zero byte, ' . json_encode($text, JSON_INVALID_UTF8_SUBSTITUTE)
                . '; only keys may have one', self::ERROR_ARGUMENT);
        }
        return $text;
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
        // FFI has made a string of it, as of every `const char *` that is returned.
        $text = self::$library->tendmap_last_error();
        return new RuntimeException($text, self::$library->tendmap_last_error_code());
    }
}
