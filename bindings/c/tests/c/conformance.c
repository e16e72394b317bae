/* Everything in tendmap.h, right and wrong, in one process, its threads and its
 * children. Run as: conformance HOSTS DIRECTORY, against namespace "test" with
 * three nodes and two replicas. */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static void bad_settings(char **argv)
{
    tendmap_config *none = tendmap_config_new(NULL);
    CHECK(none != NULL);
    NO_POINTER(TENDMAP_ERROR_CONFIG, "hosts", tendmap_connect(none));
    tendmap_config_free(none);
    NO_POINTER(TENDMAP_ERROR_CONFIG, "wanted one or more NAME:PORT", tendmap_config_new("a:x"));
    NO_POINTER(TENDMAP_ERROR_ARGUMENT, "not UTF-8", tendmap_config_new("\xff"));
    NO_POINTER(TENDMAP_ERROR_ARGUMENT, "null instead of a tendmap_config", tendmap_connect(NULL));

    tendmap_config *config = config_of(argv);
    FAILS(TENDMAP_ERROR_CONFIG, "no setting \"shm_nodes\"",
          tendmap_config_set(config, "shm_nodes", "1"));
    FAILS(TENDMAP_ERROR_CONFIG, "shm_key is \"-1\"", tendmap_config_set(config, "shm_key", "-1"));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a value",
          tendmap_config_set(config, "shm_key", NULL));
    CHECK(tendmap_config_set(config, "shm_max_nodes", "0") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_CONFIG, "shm_max_nodes is 0", tendmap_connect(config));
    CHECK(tendmap_config_set(config, "shm_max_nodes", "16") == TENDMAP_OK);
    /* Every member of the group could kill this process. */
    CHECK(tendmap_config_set(config, "shm_mode", "0660") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_CONFIG, "shm_allow_group_write", tendmap_connect(config));
    FAILS(TENDMAP_ERROR_CONFIG, "shm_allow_group_write is \"yes\"",
          tendmap_config_set(config, "shm_allow_group_write", "yes"));
    CHECK(tendmap_config_set(config, "shm_allow_group_write", "true") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "shm_allow_group_write", "false") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "shm_mode", "0600") == TENDMAP_OK);
    /* Durations so long that adding to them would overflow. */
    CHECK(tendmap_config_set(config, "shm_takeover_threshold", "1.84e19") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_CONFIG, "shm_takeover_threshold is", tendmap_connect(config));
    CHECK(tendmap_config_set(config, "use_shm", "false") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "shm_takeover_threshold", "30") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "tend_interval", "9.2e18") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_CONFIG, "tend_interval is", tendmap_connect(config));
    CHECK(tendmap_config_set(config, "tend_interval", "50ms") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "use_shm", "true") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "hosts", "127.0.0.1:1") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_TEND, "can't tend the cluster", tendmap_connect(config));
    CHECK(tendmap_config_set(config, "hosts", argv[1]) == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "cluster_name", "other") == TENDMAP_OK);
    CHECK(tendmap_connect(config) == NULL);
    CHECK(strstr(tendmap_last_error(), "other") != NULL);
    tendmap_config_free(config);
    FAILS(TENDMAP_ERROR_CLOSED, "the tendmap_config is closed",
          tendmap_config_set(config, "shm_key", "1"));
    tendmap_config_free(NULL);
}

static void bad_arguments(tendmap_client *client)
{
    tendmap_router *router = tendmap_router_new(client, NULL);
    tendmap_router *other = tendmap_router_new(client, NULL);
    CHECK(router != NULL && other != NULL);
    uint64_t test = 0, theirs = 0;
    tendmap_route route = {0};
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    CHECK(tendmap_router_namespace(other, "test", &theirs) == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_NAMESPACE_UNKNOWN, "no namespace \"nope\"",
          tendmap_router_namespace(router, "nope", &test));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a namespace",
          tendmap_router_namespace(router, NULL, &test));
    FAILS(TENDMAP_ERROR_ARGUMENT, "place for a namespace",
          tendmap_router_namespace(router, "test", NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "place for a route",
          tendmap_route_integer(router, test, "s", 1, TENDMAP_POLICY_MASTER, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "policy 17",
          tendmap_route_integer(router, test, "s", 1, 17, &route));
    FAILS(TENDMAP_ERROR_FOREIGN_HANDLE, "another router",
          tendmap_route_integer(router, theirs, "s", 1, TENDMAP_POLICY_MASTER, &route));
    FAILS(TENDMAP_ERROR_OUT_OF_RANGE, "partition 4096",
          tendmap_route_partition(router, test, 4096, TENDMAP_POLICY_MASTER, &route));
    FAILS(TENDMAP_ERROR_ARGUMENT, "set is not UTF-8",
          tendmap_route_integer(router, test, "\xc3(", 1, TENDMAP_POLICY_MASTER, &route));
    FAILS(TENDMAP_ERROR_ARGUMENT, "key is not UTF-8",
          tendmap_route_string(router, test, "s", "\xff", 1, TENDMAP_POLICY_MASTER, &route));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a key",
          tendmap_route_string(router, test, "s", NULL, 1, TENDMAP_POLICY_MASTER, &route));
    FAILS(TENDMAP_ERROR_ARGUMENT, "no memory is that large",
          tendmap_route_bytes(router, test, "s", "k", SIZE_MAX, TENDMAP_POLICY_MASTER, &route));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a digest",
          tendmap_route_digest(router, test, NULL, TENDMAP_POLICY_MASTER, &route));
    CHECK(route.sequence == 0);

    /* Handles of another kind. */
    FAILS(TENDMAP_ERROR_ARGUMENT, "the handle is not a tendmap_router",
          tendmap_route_integer((tendmap_router *)(void *)client, test, "s", 1, 0, &route));
    FAILS(TENDMAP_ERROR_ARGUMENT, "the handle is not a tendmap_client",
          tendmap_close((tendmap_client *)(void *)router));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a tendmap_router",
          tendmap_route_integer(NULL, test, "s", 1, 0, &route));

    tendmap_node node;
    FAILS(TENDMAP_ERROR_ARGUMENT, "no node has index 9", tendmap_router_node(router, 9, &node));
    FAILS(TENDMAP_ERROR_ARGUMENT, "index 65535", tendmap_router_node(router, 65535, &node));
    tendmap_status status = {.size = 1};
    FAILS(TENDMAP_ERROR_ARGUMENT, "status->size is 1", tendmap_client_status(client, &status));
    FAILS(TENDMAP_ERROR_ARGUMENT, "place for a status", tendmap_client_status(client, NULL));

    CHECK(tendmap_router_free(other) == TENDMAP_OK);
    CHECK(tendmap_router_free(router) == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_CLOSED, "the tendmap_router is closed",
          tendmap_route_integer(router, test, "s", 1, 0, &route));
    FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_router_free(router));
    CHECK(tendmap_router_free(NULL) == TENDMAP_OK);
}

static void every_kind_of_key(tendmap_client *client)
{
    tendmap_router *router = tendmap_router_new(client, NULL);
    uint64_t test = 0;
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    tendmap_route text, bytes, digest, number, partition;
    const uint32_t master = TENDMAP_POLICY_MASTER;
    CHECK(tendmap_route_string(router, test, "set", "haha", 4, master, &text) == TENDMAP_OK);
    /* A test vector of the official client. */
    CHECK(text.partition == 2870 && text.replica == 0 && text.sequence > 0);
    uint8_t made[20];
    CHECK(tendmap_digest_string("set", "haha", 4, &made) == TENDMAP_OK);
    CHECK(made[0] == 0x36 && made[19] == 0x12);
    CHECK(tendmap_route_digest(router, test, made, master, &digest) == TENDMAP_OK);
    CHECK(digest.partition == text.partition && digest.node == text.node);
    CHECK(tendmap_route_bytes(router, test, "set", "haha", 4, master, &bytes) == TENDMAP_OK);
    CHECK(bytes.partition != text.partition);
    CHECK(tendmap_route_string(router, test, "set", "a\0b", 3, master, &text) == TENDMAP_OK);
    CHECK(tendmap_route_string(router, test, "set", "a", 1, master, &bytes) == TENDMAP_OK);
    CHECK(text.partition != bytes.partition);
    CHECK(tendmap_route_bytes(router, test, NULL, NULL, 0, master, &bytes) == TENDMAP_OK);
    CHECK(tendmap_route_double(router, test, "set", 1.5, master, &number) == TENDMAP_OK);
    CHECK(tendmap_digest_integer("set", -7, &made) == TENDMAP_OK);
    CHECK(tendmap_route_integer(router, test, "set", -7, master, &number) == TENDMAP_OK);
    CHECK(number.partition == ((made[0] | made[1] << 8) & 4095));
    CHECK(tendmap_route_partition(router, test, number.partition, master, &partition)
          == TENDMAP_OK);
    CHECK(partition.node == number.node && partition.incarnation == number.incarnation);
    /* No set and the empty set are the same. */
    CHECK(tendmap_route_integer(router, test, NULL, 5, master, &text) == TENDMAP_OK);
    CHECK(tendmap_route_integer(router, test, "", 5, master, &bytes) == TENDMAP_OK);
    CHECK(text.partition == bytes.partition);

    /* A command that fails goes to the next replica, and round. */
    tendmap_route first = number;
    CHECK(tendmap_route_retry(router, test, TENDMAP_POLICY_SEQUENCE, &number) == TENDMAP_OK);
    CHECK(number.replica == 1 && number.node != first.node);
    CHECK(tendmap_route_retry(router, test, TENDMAP_POLICY_SEQUENCE, &number) == TENDMAP_OK);
    CHECK(number.replica == 0 && number.node == first.node);

    tendmap_node node;
    struct in_addr address;
    CHECK(tendmap_router_node(router, first.node, &node) == TENDMAP_OK);
    CHECK(node.index == first.node && node.incarnation == first.incarnation);
    CHECK(inet_pton(AF_INET, node.host, &address) == 1 && node.port > 0);
    char whole[sizeof node.address];
    snprintf(whole, sizeof whole, "%.40s:%u", node.host, (unsigned)node.port);
    CHECK(strcmp(whole, node.address) == 0 && strlen(node.name) > 0);
    CHECK(tendmap_router_free(router) == TENDMAP_OK);
}

static void batches(tendmap_client *client)
{
    enum { COUNT = 1000 };
    static int64_t keys[COUNT];
    static char texts[COUNT][8];
    static const char *pointers[COUNT];
    static size_t lengths[COUNT];
    static uint8_t digests[COUNT][20];
    static uint16_t nodes[COUNT], again[COUNT];
    tendmap_router *router = tendmap_router_new(client, NULL);
    uint64_t test = 0, sequence = 0;
    tendmap_route route;
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    for (int i = 0; i < COUNT; i++) {
        keys[i] = i * 7919 - 500;
        snprintf(texts[i], sizeof texts[i], "%d", i);
        pointers[i] = texts[i];
        lengths[i] = strlen(texts[i]);
        CHECK(tendmap_digest_integer("s", keys[i], &digests[i]) == TENDMAP_OK);
    }
    const uint32_t policy = TENDMAP_POLICY_SEQUENCE;
    CHECK(tendmap_route_batch_integers(router, test, "s", keys, COUNT, policy, nodes, &sequence)
          == TENDMAP_OK);
    CHECK(sequence > 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK(tendmap_route_integer(router, test, "s", keys[i], policy, &route) == TENDMAP_OK);
        CHECK(route.node == nodes[i] && nodes[i] != TENDMAP_NO_NODE);
    }
    CHECK(tendmap_route_batch_digests(router, test, (const uint8_t (*)[20])digests, COUNT, policy,
                                      again, NULL) == TENDMAP_OK);
    CHECK(memcmp(nodes, again, sizeof nodes) == 0);
    CHECK(tendmap_route_batch_strings(router, test, "s", pointers, NULL, COUNT, policy, nodes, NULL)
          == TENDMAP_OK);
    CHECK(tendmap_route_batch_strings(router, test, "s", pointers, lengths, COUNT, policy, again,
                                      NULL) == TENDMAP_OK);
    CHECK(memcmp(nodes, again, sizeof nodes) == 0);
    CHECK(tendmap_route_string(router, test, "s", "7", 1, policy, &route) == TENDMAP_OK);
    CHECK(route.node == nodes[7]);
    CHECK(tendmap_route_batch_integers(router, test, NULL, NULL, 0, policy, NULL, NULL)
          == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of keys",
          tendmap_route_batch_integers(router, test, "s", NULL, 1, policy, nodes, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of nodes",
          tendmap_route_batch_integers(router, test, "s", keys, 1, policy, NULL, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "policy 9",
          tendmap_route_batch_integers(router, test, "s", keys, 1, 9, nodes, NULL));
    /* More keys than possible: refused before any byte is read or allocated. */
    for (int bits = 32; bits < 64; bits++) {
        size_t count = (size_t)1 << bits;
        CHECK(tendmap_route_batch_integers(router, test, "s", keys, count, policy, nodes, NULL)
              == TENDMAP_ERROR_ARGUMENT);
        CHECK(tendmap_route_batch_digests(router, test, (const uint8_t (*)[20])digests, count,
                                          policy, nodes, NULL) == TENDMAP_ERROR_ARGUMENT);
        CHECK(tendmap_route_batch_strings(router, test, "s", pointers, NULL, count, policy, nodes,
                                          NULL) == TENDMAP_ERROR_ARGUMENT);
    }
    pointers[3] = NULL;
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a key",
          tendmap_route_batch_strings(router, test, "s", pointers, NULL, COUNT, policy, nodes, NULL));
    CHECK(tendmap_router_free(router) == TENDMAP_OK);
}

static int freed;
static tendmap_router *reentered;

static void free_state(void *state)
{
    CHECK(strcmp(state, "pool") == 0);
    free(state);
    freed += 1;
    if (reentered != NULL) {
        tendmap_node node;
        FAILS(TENDMAP_ERROR_ARGUMENT, "its own callback", tendmap_router_node(reentered, 0, &node));
    }
}

static void state_of_nodes(tendmap_client *client)
{
    tendmap_router *router = tendmap_router_new(client, free_state);
    uint64_t test = 0;
    tendmap_route route;
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    CHECK(tendmap_route_integer(router, test, "s", 1, 0, &route) == TENDMAP_OK);
    CHECK(route.state == NULL);
    char *pool = strdup("pool");
    CHECK(tendmap_router_set_state(router, route.node, pool) == TENDMAP_OK);
    CHECK(tendmap_router_set_state(router, route.node, pool) == TENDMAP_OK && freed == 0);
    CHECK(tendmap_route_integer(router, test, "s", 1, 0, &route) == TENDMAP_OK);
    CHECK(route.state == pool);
    reentered = router;
    CHECK(tendmap_router_set_state(router, route.node, strdup("pool")) == TENDMAP_OK);
    CHECK(freed == 1);
    reentered = NULL;
    CHECK(tendmap_router_free(router) == TENDMAP_OK && freed == 2);
}

static void status_and_nodes(tendmap_client *client)
{
    tendmap_status status = {.size = sizeof status};
    CHECK(tendmap_client_status(client, &status) == TENDMAP_OK);
    CHECK(status.size == sizeof status && status.nodes == 3 && status.holes == 0);
    CHECK(status.owner_alive == 1 && status.sequence > 0 && status.term >= 1);
    CHECK(status.key == 0xA7000000u && status.tend_interval_ms == 50);
    CHECK(strcmp(status.cluster_name, "lab") == 0);
    /* A caller of an older version has less room. */
    struct {
        size_t size;
        uint64_t generation;
        uint64_t guard;
    } old = {.size = 2 * sizeof(uint64_t), .guard = 77};
    CHECK(tendmap_client_status(client, (tendmap_status *)(void *)&old) == TENDMAP_OK);
    CHECK(old.generation == status.generation && old.guard == 77);

    char *json = tendmap_client_status_json(client);
    CHECK(json != NULL && strstr(json, "\"cluster_name\":\"lab\"") != NULL);
    tendmap_string_free(json);
    tendmap_string_free(NULL);

    char *event = NULL;
    int owner = 0, published = 0;
    do {
        tendmap_string_free(event);
        CHECK(tendmap_client_next_event(client, &event) == TENDMAP_OK);
        if (event != NULL) {
            owner |= strstr(event, "{\"event\":\"owner\",") == event;
            published |= strstr(event, "\"event\":\"published\"") != NULL;
            CHECK(strstr(event, "\"level\":") != NULL && strstr(event, "\"time\":1") != NULL);
        }
    } while (event != NULL);
    CHECK(owner && published);
    FAILS(TENDMAP_ERROR_ARGUMENT, "place for an event", tendmap_client_next_event(client, NULL));

    tendmap_node nodes[3];
    size_t count = 0;
    CHECK(tendmap_client_nodes(client, NULL, 0, &count) == TENDMAP_OK && count == 3);
    CHECK(tendmap_client_nodes(client, nodes, 3, &count) == TENDMAP_OK && count == 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(nodes[i].index == i && nodes[i].port > 0 && nodes[i].tls_name[0] == 0);
        CHECK(strcmp(nodes[i].build, "8.1.2.0") == 0);
    }
    FAILS(TENDMAP_ERROR_ARGUMENT, "place for a count", tendmap_client_nodes(client, nodes, 3, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "place for nodes", tendmap_client_nodes(client, NULL, 3, &count));

    uint64_t now = 0;
    CHECK(tendmap_wait_for_change(client, 0, 5000, &now) == TENDMAP_OK && now > 0);
    CHECK(tendmap_wait_for_change(client, now, 10, &now) == TENDMAP_OK && now > 0);
    FAILS(TENDMAP_ERROR_ARGUMENT, "place for a sequence",
          tendmap_wait_for_change(client, 0, 0, NULL));
}

struct shared {
    tendmap_client *client;
    tendmap_router *router;
    uint64_t test;
};

static void *another_thread(void *argument)
{
    struct shared *shared = argument;
    tendmap_route route;
    FAILS(TENDMAP_ERROR_WRONG_THREAD, "another thread",
          tendmap_route_integer(shared->router, shared->test, "s", 1, 0, &route));
    FAILS(TENDMAP_ERROR_WRONG_THREAD, "another thread", tendmap_router_free(shared->router));
    tendmap_router *own = tendmap_router_new(shared->client, NULL);
    uint64_t test = 0;
    CHECK(tendmap_router_namespace(own, "test", &test) == TENDMAP_OK);
    for (int64_t key = 0; key < 1000; key++) {
        CHECK(tendmap_route_integer(own, test, "s", key, 0, &route) == TENDMAP_OK);
    }
    CHECK(tendmap_client_role(shared->client) >= 0);
    CHECK(tendmap_router_free(own) == TENDMAP_OK);
    return NULL;
}

struct waiting {
    tendmap_client *client;
    uint64_t sequence;
};

static void *waits_for_ever(void *argument)
{
    struct waiting *waiting = argument;
    uint64_t now = 77;
    FAILS(TENDMAP_ERROR_CLOSED, "closed",
          tendmap_wait_for_change(waiting->client, waiting->sequence, UINT64_MAX, &now));
    CHECK(now == 77);
    return NULL;
}

static void closing_ends_a_wait(char **argv)
{
    tendmap_config *config = config_of(argv);
    struct waiting waiting = {tendmap_connect(config), 0};
    tendmap_config_free(config);
    CHECK(waiting.client != NULL);
    CHECK(tendmap_wait_for_change(waiting.client, 0, 5000, &waiting.sequence) == TENDMAP_OK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waits_for_ever, &waiting) == 0);
    /* The wait ends, whether or not it has begun. */
    CHECK(nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL) == 0);
    CHECK(tendmap_close(waiting.client) == TENDMAP_OK);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void threads(tendmap_client *client)
{
    struct shared shared = {client, tendmap_router_new(client, NULL), 0};
    CHECK(tendmap_router_namespace(shared.router, "test", &shared.test) == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_NAMESPACE_UNKNOWN, "nope",
          tendmap_router_namespace(shared.router, "nope", &shared.test));
    pthread_t others[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&others[i], NULL, another_thread, &shared) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(others[i], NULL) == 0);
    }
    /* Errors of other threads are not visible here. */
    CHECK(tendmap_last_error_code() == TENDMAP_ERROR_NAMESPACE_UNKNOWN);
    CHECK(tendmap_router_free(shared.router) == TENDMAP_OK);
}

static void in_a_child(tendmap_client *client, tendmap_router *router, uint64_t test)
{
    tendmap_route route;
    /* Routing continues at once, without a thread in the child. */
    CHECK(tendmap_route_integer(router, test, "s", 1, 0, &route) == TENDMAP_OK);
    CHECK(route.state == NULL && freed == 3);
    /* The child has a role of its own, never its parent's. */
    int role = tendmap_client_role(client);
    CHECK(role == TENDMAP_ROLE_FOLLOWER || role == TENDMAP_ROLE_STANDBY);
    tendmap_status status = {.size = sizeof status};
    CHECK(tendmap_client_status(client, &status) == TENDMAP_OK);
    CHECK(status.attached == 2 && status.owner_alive == 1);
    CHECK(tendmap_router_free(router) == TENDMAP_OK);
    CHECK(tendmap_close(client) == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_close(client));
}

static void forked(tendmap_client *client)
{
    tendmap_router *router = tendmap_router_new(client, free_state);
    uint64_t test = 0;
    tendmap_route route;
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    CHECK(tendmap_route_integer(router, test, "s", 1, 0, &route) == TENDMAP_OK);
    char *pool = strdup("pool");
    CHECK(tendmap_router_set_state(router, route.node, pool) == TENDMAP_OK);
    tendmap_status before = {.size = sizeof before}, after = {.size = sizeof after};
    CHECK(tendmap_client_status(client, &before) == TENDMAP_OK);
    CHECK(tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
    int done[2];
    CHECK(pipe(done) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        in_a_child(client, router, test);
        CHECK(write(done[1], "d", 1) == 1);
        pause();
    }
    char byte = 0;
    CHECK(close(done[1]) == 0 && read(done[0], &byte, 1) == 1 && byte == 'd');
    /* It must not exit: valgrind would report memory that only the parent's
     * threads hold as lost. */
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    CHECK(close(done[0]) == 0);
    CHECK(tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
    CHECK(tendmap_client_status(client, &after) == TENDMAP_OK);
    CHECK(after.term == before.term && after.attached == 1);
    CHECK(tendmap_route_integer(router, test, "s", 1, 0, &route) == TENDMAP_OK);
    CHECK(route.state == pool && freed == 2);
    CHECK(tendmap_router_free(router) == TENDMAP_OK && freed == 3);
}

static void a_private_map(char **argv)
{
    tendmap_config *config = config_of(argv);
    CHECK(tendmap_config_set(config, "use_shm", "false") == TENDMAP_OK);
    tendmap_client *client = tendmap_connect(config);
    tendmap_config_free(config);
    CHECK(client != NULL && tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
    CHECK(tendmap_close(client) == TENDMAP_OK);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOSTS DIRECTORY\n", argv[0]);
        return 2;
    }
    CHECK(tendmap_last_error_code() == TENDMAP_OK && tendmap_last_error()[0] == 0);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", TENDMAP_VERSION_MAJOR, TENDMAP_VERSION_MINOR,
             TENDMAP_VERSION_PATCH);
    CHECK(strcmp(tendmap_version(), version) == 0);
    /* The pointer is taken before the failing call, as the arguments of one printf() may be. */
    const char *early = tendmap_last_error();
    CHECK(tendmap_connect(NULL) == NULL && strstr(early, "null instead of a tendmap_config") != NULL);
    bad_settings(argv);
    CHECK(tendmap_last_error() == early && strstr(early, "closed") != NULL);
    tendmap_config *config = config_of(argv);
    tendmap_client *client = tendmap_connect(config);
    CHECK(client != NULL);
    bad_arguments(client);
    every_kind_of_key(client);
    batches(client);
    state_of_nodes(client);
    status_and_nodes(client);
    threads(client);
    closing_ends_a_wait(argv);
    forked(client);

    /* Kept: closing and connecting again does not change the owner. */
    tendmap_status before = {.size = sizeof before}, after = {.size = sizeof after};
    CHECK(tendmap_client_status(client, &before) == TENDMAP_OK);
    CHECK(tendmap_keep(client) == TENDMAP_OK && tendmap_keep(client) == TENDMAP_OK);
    CHECK(tendmap_close(client) == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_CLOSED, "the client is closed", tendmap_close(client));
    FAILS(TENDMAP_ERROR_CLOSED, "the client is closed",
          tendmap_client_status(client, &after));
    CHECK(tendmap_client_role(client) == -1);
    client = tendmap_connect(config);
    CHECK(client != NULL && tendmap_client_status(client, &after) == TENDMAP_OK);
    CHECK(before.generation == after.generation && before.term == after.term);
    CHECK(tendmap_close(client) == TENDMAP_OK);
    CHECK(tendmap_close(NULL) == TENDMAP_OK);
    tendmap_config_free(config);
    a_private_map(argv);
    puts("ok");
    return 0;
}
