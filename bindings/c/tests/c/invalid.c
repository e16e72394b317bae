/* Invalid arguments for every function of tendmap.h: NULL, handles of another kind,
 * closed ones, those of another thread and of the parent process, places at odd
 * addresses, lengths that no memory has, text that is none. No call ends the process,
 * and each returns an error with a name and a text. Run as: invalid HOSTS DIRECTORY,
 * against namespace "test" with three nodes. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static tendmap_config *config;
static tendmap_client *client;
static tendmap_router *router;
static tendmap_changes *changes;
static uint64_t name_space;

/* Memory that calls with another invalid argument do not write to. */
static union {
    tendmap_route route;
    tendmap_node node;
    tendmap_status status;
    uint8_t digest[20];
    uint16_t nodes[2];
    uint64_t sequence;
    size_t count;
    char *text;
    unsigned char bytes[sizeof(tendmap_node)];
} place;

static const int64_t integers[2] = {1, 2};
static const char *const texts[2] = {"a", "b"};
static const size_t lengths[2] = {1, 1};
static const uint8_t digests[2][20];
static const int32_t racks[1] = {10};
static const uint32_t master = TENDMAP_POLICY_MASTER;

/* An address where no value of more than one byte may lie. */
#define ODD(type) ((type *)(void *)(place.bytes + 1))

static void clear(void)
{
    memset(&place, 0x5a, sizeof place);
    place.status.size = sizeof place.status;
}

static void untouched(void)
{
    for (size_t i = sizeof(size_t); i < sizeof place; i++) {
        CHECK(place.bytes[i] == 0x5a);
    }
}

/* What every failed call leaves behind. */
static int failed_with(int code, const char *said)
{
    const char *name = tendmap_error_name(code);
    return tendmap_last_error_code() == code && strncmp(name, "TENDMAP_ERROR_", 14) == 0 &&
           strcmp(name, "TENDMAP_ERROR_UNKNOWN") != 0 &&
           strstr(tendmap_last_error(), said) != NULL;
}

/* Every function, with one handle and else valid arguments. The result is TENDMAP_OK, or
 * the code of the error; that of functions that return no code is the last error's. */
typedef int call(void *handle);

static int pointer(const void *made)
{
    return made != NULL ? TENDMAP_OK : tendmap_last_error_code();
}
static int number(int found)
{
    return found >= 0 ? TENDMAP_OK : tendmap_last_error_code();
}

static int close_client(void *h) { return tendmap_close(h); }
static int keep(void *h) { return tendmap_keep(h); }
static int role(void *h) { return number(tendmap_client_role(h)); }
static int status(void *h) { return tendmap_client_status(h, &place.status); }
static int status_json(void *h) { return pointer(tendmap_client_status_json(h)); }
static int nodes(void *h) { return tendmap_client_nodes(h, NULL, 0, &place.count); }
static int wait_for(void *h) { return tendmap_wait_for_change(h, 0, UINT64_MAX, &place.sequence); }
static int request(void *h) { return tendmap_client_request_tend(h); }
static int event(void *h) { return tendmap_client_next_event(h, &place.text); }
static int prefer(void *h) { return tendmap_client_set_preferred_racks(h, racks, 1); }
static int interval(void *h) { return tendmap_client_set_tend_interval(h, 100); }
static int password(void *h) { return tendmap_client_set_password(h, "secret"); }
static int router_of(void *h) { return pointer(tendmap_router_new(h, NULL)); }
static int changes_of(void *h) { return pointer(tendmap_changes_new(h)); }

static int connects(void *h) { return pointer(tendmap_connect(h)); }
static int reads(void *h) { return pointer(tendmap_reader_open(h)); }
static int sets(void *h) { return tendmap_config_set(h, "shm_max_nodes", "16"); }
static int free_config(void *h)
{
    int before = tendmap_config_set(config, "none", "");
    tendmap_config_free(h);
    int after = tendmap_last_error_code();
    return h == NULL || after == before ? TENDMAP_OK : after;
}

static int descriptor(void *h) { return number(tendmap_changes_fd(h)); }
static int take(void *h) { return tendmap_changes_take(h, &place.sequence); }
static int free_changes(void *h) { return tendmap_changes_free(h); }

static int integer(void *h)
{
    return tendmap_route_integer(h, name_space, "s", 1, master, &place.route);
}
static int string(void *h)
{
    return tendmap_route_string(h, name_space, "s", "k", 1, master, &place.route);
}
static int raw(void *h)
{
    return tendmap_route_bytes(h, name_space, "s", "k", 1, master, &place.route);
}
static int real(void *h)
{
    return tendmap_route_double(h, name_space, "s", 1.5, master, &place.route);
}
static int digest(void *h)
{
    return tendmap_route_digest(h, name_space, digests[0], master, &place.route);
}
static int partition(void *h)
{
    return tendmap_route_partition(h, name_space, 1, master, &place.route);
}
static int retry(void *h)
{
    return tendmap_route_retry(h, name_space, master, &place.route);
}
static int batch_integers(void *h)
{
    return tendmap_route_batch_integers(h, name_space, "s", integers, 2, master, place.nodes,
                                        NULL);
}
static int batch_strings(void *h)
{
    return tendmap_route_batch_strings(h, name_space, "s", texts, lengths, 2, master,
                                       place.nodes, NULL);
}
static int batch_digests(void *h)
{
    return tendmap_route_batch_digests(h, name_space, digests, 2, master, place.nodes, NULL);
}
static int resolve(void *h) { return tendmap_router_namespace(h, "test", &place.sequence); }
static int node(void *h) { return tendmap_router_node(h, 0, &place.node); }
static int set_state(void *h) { return tendmap_router_set_state(h, 0, NULL); }
static int free_router(void *h) { return tendmap_router_free(h); }

#define COUNT(of) (sizeof(of) / sizeof *(of))
/* The last one of each list frees: for it alone NULL is allowed. */
static call *const of_client[] = {keep,  role,   status,   status_json, nodes,     wait_for,   request,
                                  event, prefer, interval, password,    router_of, changes_of, close_client};
static call *const of_config[] = {connects, reads, sets, free_config};
static call *const of_changes[] = {descriptor, take, free_changes};
static call *const of_router[] = {integer,   string,         raw,           real,          digest,
                                  partition, retry,          batch_integers, batch_strings, batch_digests,
                                  resolve,   node,           set_state,     free_router};

/* Each of these calls fails with that error, and writes nothing. */
static void all_fail(call *const *calls, size_t count, void *handle, int code, const char *said)
{
    for (size_t i = 0; i < count; i++) {
        clear();
        int found = calls[i](handle);
        if (found != code || !failed_with(code, said)) {
            fprintf(stderr, "call %zu: wanted %d (%s): %s\n", i, code, tendmap_error_name(code), said);
        }
        CHECK(found == code && failed_with(code, said));
        untouched();
    }
}

static void handles_of_no_kind_but_their_own(call *const *calls, size_t count, const char *kind,
                                             void *own)
{
    void *const others[] = {config, client, router, changes};
    char said[64];
    for (size_t i = 0; i < COUNT(others); i++) {
        snprintf(said, sizeof said, "the handle is not a %s", kind);
        if (others[i] != own) {
            all_fail(calls, count, others[i], TENDMAP_ERROR_ARGUMENT, said);
        }
    }
    snprintf(said, sizeof said, "null instead of a %s", kind);
    all_fail(calls, count - 1, NULL, TENDMAP_ERROR_ARGUMENT, said);
    CHECK(calls[count - 1](NULL) == TENDMAP_OK);
}

static void handles(void)
{
    handles_of_no_kind_but_their_own(of_client, COUNT(of_client), "tendmap_client", client);
    handles_of_no_kind_but_their_own(of_config, COUNT(of_config), "tendmap_config", config);
    handles_of_no_kind_but_their_own(of_changes, COUNT(of_changes), "tendmap_changes", changes);
    handles_of_no_kind_but_their_own(of_router, COUNT(of_router), "tendmap_router", router);
    tendmap_string_free(NULL);
}

static void closed_handles(void)
{
    tendmap_changes *no_changes = tendmap_changes_new(client);
    tendmap_router *no_router = tendmap_router_new(client, NULL);
    tendmap_config *no_config = tendmap_config_new(NULL);
    tendmap_client *no_client = tendmap_connect(config);
    CHECK(no_changes != NULL && no_router != NULL && no_config != NULL && no_client != NULL);
    CHECK(tendmap_changes_free(no_changes) == TENDMAP_OK);
    CHECK(tendmap_router_free(no_router) == TENDMAP_OK);
    tendmap_config_free(no_config);
    CHECK(tendmap_close(no_client) == TENDMAP_OK);
    all_fail(of_changes, COUNT(of_changes), no_changes, TENDMAP_ERROR_CLOSED, "changes is closed");
    all_fail(of_router, COUNT(of_router), no_router, TENDMAP_ERROR_CLOSED, "router is closed");
    all_fail(of_config, COUNT(of_config), no_config, TENDMAP_ERROR_CLOSED, "config is closed");
    all_fail(of_client, COUNT(of_client), no_client, TENDMAP_ERROR_CLOSED, "client is closed");
    /* A closed handle of another kind is of another kind. */
    CHECK(tendmap_close((tendmap_client *)(void *)no_router) == TENDMAP_ERROR_ARGUMENT);
}

static void *on_another_thread(void *unused)
{
    all_fail(of_router, COUNT(of_router), router, TENDMAP_ERROR_WRONG_THREAD, "another thread");
    return unused;
}

static void another_thread(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, on_another_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* NULL and odd addresses, beside a handle that is right. */
static void places(void)
{
    const int bad = TENDMAP_ERROR_ARGUMENT;
    clear();
#define BAD_PLACES(type, call)                                                            \
    do {                                                                                  \
        type *out = NULL;                                                                 \
        FAILS(bad, "instead of a place for ", call);                                      \
        out = ODD(type);                                                                  \
        FAILS(bad, "instead of a place for ", call);                                      \
        untouched();                                                                      \
    } while (0)
    BAD_PLACES(tendmap_status, tendmap_client_status(client, out));
    BAD_PLACES(size_t, tendmap_client_nodes(client, NULL, 0, out));
    BAD_PLACES(tendmap_node, tendmap_client_nodes(client, out, 1, &(size_t){0}));
    BAD_PLACES(uint64_t, tendmap_wait_for_change(client, 0, 0, out));
    BAD_PLACES(char *, tendmap_client_next_event(client, out));
    BAD_PLACES(tendmap_route, tendmap_route_integer(router, name_space, "s", 1, master, out));
    BAD_PLACES(tendmap_route, tendmap_route_string(router, name_space, "s", "k", 1, master, out));
    BAD_PLACES(tendmap_route, tendmap_route_bytes(router, name_space, "s", "k", 1, master, out));
    BAD_PLACES(tendmap_route, tendmap_route_double(router, name_space, "s", 1, master, out));
    BAD_PLACES(tendmap_route, tendmap_route_digest(router, name_space, digests[0], master, out));
    BAD_PLACES(tendmap_route, tendmap_route_partition(router, name_space, 1, master, out));
    BAD_PLACES(tendmap_route, tendmap_route_retry(router, name_space, master, out));
    BAD_PLACES(uint64_t, tendmap_router_namespace(router, "test", out));
    BAD_PLACES(tendmap_node, tendmap_router_node(router, 0, out));
    FAILS(bad, "place for a digest", tendmap_digest_integer("s", 1, NULL));
    FAILS(bad, "place for a digest", tendmap_digest_string("s", "k", 1, NULL));
    /* These may be NULL, and must be where their type may lie. */
    FAILS(bad, "place for a sequence", tendmap_changes_take(changes, ODD(uint64_t)));
    FAILS(bad, "place for a sequence",
          tendmap_route_batch_integers(router, name_space, "s", integers, 2, master, place.nodes,
                                       ODD(uint64_t)));
    FAILS(bad, "place for a sequence",
          tendmap_route_batch_strings(router, name_space, "s", texts, NULL, 2, master, place.nodes,
                                      ODD(uint64_t)));
    FAILS(bad, "place for a sequence",
          tendmap_route_batch_digests(router, name_space, digests, 2, master, place.nodes,
                                      ODD(uint64_t)));
    const size_t sizes[] = {0, 1, sizeof(size_t) - 1, SIZE_MAX};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        place.status.size = sizes[i];
        FAILS(bad, "status->size is ", tendmap_client_status(client, &place.status));
        untouched();
    }
}

static void arrays(void)
{
    const int bad = TENDMAP_ERROR_ARGUMENT;
    clear();
#define INTEGERS(keys, nodes) \
    tendmap_route_batch_integers(router, name_space, "s", keys, 2, master, nodes, NULL)
#define STRINGS(keys, lengths, nodes) \
    tendmap_route_batch_strings(router, name_space, "s", keys, lengths, 2, master, nodes, NULL)
#define DIGESTS(keys, nodes) \
    tendmap_route_batch_digests(router, name_space, keys, 2, master, nodes, NULL)
    FAILS(bad, "null instead of keys", INTEGERS(NULL, place.nodes));
    FAILS(bad, "alignment", INTEGERS(ODD(const int64_t), place.nodes));
    FAILS(bad, "null instead of nodes", INTEGERS(integers, NULL));
    FAILS(bad, "alignment", INTEGERS(integers, ODD(uint16_t)));
    FAILS(bad, "null instead of keys", STRINGS(NULL, lengths, place.nodes));
    FAILS(bad, "alignment", STRINGS(ODD(const char *), lengths, place.nodes));
    FAILS(bad, "alignment", STRINGS(texts, ODD(const size_t), place.nodes));
    FAILS(bad, "null instead of nodes", STRINGS(texts, lengths, NULL));
    FAILS(bad, "alignment", STRINGS(texts, lengths, ODD(uint16_t)));
    FAILS(bad, "null instead of digests", DIGESTS(NULL, place.nodes));
    FAILS(bad, "null instead of nodes", DIGESTS(digests, NULL));
    FAILS(bad, "alignment", DIGESTS(digests, ODD(uint16_t)));
    untouched();
    const char *const gaps[2] = {"a", NULL};
    const char *const broken[2] = {"a", "\xff"};
    FAILS(bad, "null instead of a key", STRINGS(gaps, NULL, place.nodes));
    FAILS(bad, "null instead of a key", STRINGS(gaps, lengths, place.nodes));
    FAILS(bad, "not UTF-8", STRINGS(broken, NULL, place.nodes));
    FAILS(bad, "not UTF-8", STRINGS(broken, lengths, place.nodes));
    const size_t none_there[2] = {1, 0};
    CHECK(STRINGS(gaps, none_there, place.nodes) == TENDMAP_OK);

    /* Refused before a byte is read. */
    const size_t sizes[] = {SIZE_MAX, (size_t)1 << 63, ((size_t)1 << 63) + 1};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const size_t beyond[2] = {1, sizes[i]};
        clear();
        FAILS(bad, "no memory is that large",
              tendmap_route_string(router, name_space, "s", "k", sizes[i], master, &place.route));
        FAILS(bad, "no memory is that large",
              tendmap_route_bytes(router, name_space, "s", "k", sizes[i], master, &place.route));
        FAILS(bad, "no memory is that large",
              tendmap_digest_string("s", "k", sizes[i], &place.digest));
        FAILS(bad, "no memory is that large", STRINGS(texts, beyond, place.nodes));
        FAILS(bad, "no memory is that large",
              tendmap_client_set_preferred_racks(client, racks, sizes[i]));
        untouched();
    }
    FAILS(bad, "null instead of a key",
          tendmap_route_bytes(router, name_space, "s", NULL, 1, master, &place.route));
    FAILS(bad, "null instead of a key", tendmap_digest_string("s", NULL, 1, &place.digest));
    FAILS(bad, "null instead of racks", tendmap_client_set_preferred_racks(client, NULL, 1));
    FAILS(bad, "alignment", tendmap_client_set_preferred_racks(client, ODD(const int32_t), 1));
    CHECK(tendmap_client_set_preferred_racks(client, NULL, 0) == TENDMAP_OK);
    /* A key may contain any character, also zero bytes and none at its end. */
    CHECK(tendmap_route_string(router, name_space, "s", "\0\0", 2, master, &place.route)
          == TENDMAP_OK);
    CHECK(tendmap_route_string(router, name_space, "s", NULL, 0, master, &place.route)
          == TENDMAP_OK);
}

static void words(void)
{
    const int bad = TENDMAP_ERROR_ARGUMENT;
    const char *const torn[] = {"\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80"};
    for (size_t i = 0; i < COUNT(torn); i++) {
        const char *set = torn[i];
        clear();
        NO_POINTER(bad, "not UTF-8", tendmap_config_new(set));
        FAILS(bad, "not UTF-8", tendmap_config_set(config, set, "1"));
        FAILS(bad, "not UTF-8", tendmap_config_set(config, "user", set));
        FAILS(bad, "not UTF-8", tendmap_client_set_password(client, set));
        FAILS(bad, "not UTF-8", tendmap_router_namespace(router, set, &place.sequence));
        FAILS(bad, "not UTF-8",
              tendmap_route_integer(router, name_space, set, 1, master, &place.route));
        FAILS(bad, "not UTF-8",
              tendmap_route_string(router, name_space, set, "k", 1, master, &place.route));
        FAILS(bad, "not UTF-8",
              tendmap_route_bytes(router, name_space, set, "k", 1, master, &place.route));
        FAILS(bad, "not UTF-8",
              tendmap_route_double(router, name_space, set, 1, master, &place.route));
        FAILS(bad, "not UTF-8",
              tendmap_route_batch_integers(router, name_space, set, integers, 2, master,
                                           place.nodes, NULL));
        FAILS(bad, "not UTF-8",
              tendmap_route_batch_strings(router, name_space, set, texts, NULL, 2, master,
                                          place.nodes, NULL));
        FAILS(bad, "not UTF-8", tendmap_digest_integer(set, 1, &place.digest));
        FAILS(bad, "not UTF-8", tendmap_digest_string(set, "k", 1, &place.digest));
        FAILS(bad, "not UTF-8", tendmap_digest_string("s", set, strlen(set), &place.digest));
        untouched();
    }
    FAILS(bad, "null instead of the name of a setting", tendmap_config_set(config, NULL, "1"));
    FAILS(bad, "null instead of a value", tendmap_config_set(config, "user", NULL));
    FAILS(bad, "null instead of a password", tendmap_client_set_password(client, NULL));
    FAILS(bad, "null instead of a namespace",
          tendmap_router_namespace(router, NULL, &place.sequence));

    /* Longer than any name, and than the text of an error. */
    enum { LONG = 1 << 20 };
    char *name = malloc(LONG);
    CHECK(name != NULL);
    memset(name, 'x', LONG - 1);
    name[LONG - 1] = 0;
    FAILS(TENDMAP_ERROR_CONFIG, "xxx", tendmap_config_set(config, name, "1"));
    FAILS(TENDMAP_ERROR_CONFIG, "xxx", tendmap_config_set(config, "shm_max_nodes", name));
    FAILS(TENDMAP_ERROR_NAMESPACE_UNKNOWN, "xxx",
          tendmap_router_namespace(router, name, &place.sequence));
    CHECK(strlen(tendmap_last_error()) < 1024);
    CHECK(tendmap_digest_integer(name, 1, &place.digest) == TENDMAP_OK);
    free(name);
    FAILS(TENDMAP_ERROR_NAMESPACE_UNKNOWN, "no namespace \"\"",
          tendmap_router_namespace(router, "", &place.sequence));
    FAILS(TENDMAP_ERROR_CONFIG, "", tendmap_config_set(config, "", ""));
}

static void numbers(void)
{
    const uint32_t policies[] = {5, 255, 256, UINT32_MAX};
    for (size_t i = 0; i < COUNT(policies); i++) {
        clear();
        FAILS(TENDMAP_ERROR_ARGUMENT, "wanted a tendmap_policy",
              tendmap_route_integer(router, name_space, "s", 1, policies[i], &place.route));
        FAILS(TENDMAP_ERROR_ARGUMENT, "wanted a tendmap_policy",
              tendmap_route_retry(router, name_space, policies[i], &place.route));
        FAILS(TENDMAP_ERROR_ARGUMENT, "wanted a tendmap_policy",
              tendmap_route_batch_digests(router, name_space, digests, 2, policies[i], place.nodes,
                                          NULL));
        untouched();
    }
    const uint64_t foreign[] = {0, 1, name_space + 1, name_space ^ (uint64_t)1 << 32, UINT64_MAX};
    for (size_t i = 0; i < COUNT(foreign); i++) {
        clear();
        FAILS(TENDMAP_ERROR_FOREIGN_HANDLE, "another router",
              tendmap_route_integer(router, foreign[i], "s", 1, master, &place.route));
        FAILS(TENDMAP_ERROR_FOREIGN_HANDLE, "another router",
              tendmap_route_retry(router, foreign[i], master, &place.route));
        CHECK(tendmap_route_batch_integers(router, foreign[i], "s", integers, 2, master,
                                           place.nodes, NULL) == TENDMAP_ERROR_FOREIGN_HANDLE);
    }
    const uint32_t partitions[] = {4096, 65536, 65537, UINT32_MAX};
    for (size_t i = 0; i < COUNT(partitions); i++) {
        clear();
        FAILS(TENDMAP_ERROR_OUT_OF_RANGE, "wanted",
              tendmap_route_partition(router, name_space, partitions[i], master, &place.route));
        untouched();
    }
    /* A route that no call wrote. */
    for (uint32_t policy = 0; policy <= TENDMAP_POLICY_PREFER_RACK; policy++) {
        memset(&place, 0xff, sizeof place);
        FAILS(TENDMAP_ERROR_OUT_OF_RANGE, "wanted",
              tendmap_route_retry(router, name_space, policy, &place.route));
        place.route.partition = 7;
        CHECK(tendmap_route_retry(router, name_space, policy, &place.route) == TENDMAP_OK);
        CHECK(place.route.node < 3 && place.route.replica < 2);
    }
    const uint16_t no_nodes[] = {3, 255, 256, TENDMAP_NO_NODE};
    for (size_t i = 0; i < COUNT(no_nodes); i++) {
        clear();
        FAILS(TENDMAP_ERROR_ARGUMENT, "no node has index",
              tendmap_router_node(router, no_nodes[i], &place.node));
        FAILS(TENDMAP_ERROR_ARGUMENT, "no node has index",
              tendmap_router_set_state(router, no_nodes[i], &place));
        untouched();
    }
    const uint64_t intervals[] = {0, 1, 49, UINT64_MAX / 2, UINT64_MAX};
    for (size_t i = 0; i < COUNT(intervals); i++) {
        FAILS(TENDMAP_ERROR_CONFIG, "interval",
              tendmap_client_set_tend_interval(client, intervals[i]));
    }
}

/* The same in a child, which has its parent's handles. */
static void forked(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(120);
        handles();
        closed_handles();
        another_thread();
        clear();
        FAILS(TENDMAP_ERROR_FORKED, "parent process", tendmap_changes_take(changes, NULL));
        CHECK(tendmap_close(client) == TENDMAP_OK);
        all_fail(of_client, COUNT(of_client), client, TENDMAP_ERROR_CLOSED, "client is closed");
        CHECK(integer(router) == TENDMAP_OK);
        CHECK(free_router(router) == TENDMAP_OK && free_changes(changes) == TENDMAP_OK);
        all_fail(of_router, COUNT(of_router), router, TENDMAP_ERROR_CLOSED, "router is closed");
        _exit(0);
    }
    int ended = 0;
    CHECK(waitpid(child, &ended, 0) == child && ended == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    config = config_of(argv);
    client = tendmap_connect(config);
    CHECK(client != NULL);
    router = tendmap_router_new(client, NULL);
    changes = tendmap_changes_new(client);
    CHECK(router != NULL && changes != NULL);
    CHECK(tendmap_router_namespace(router, "test", &name_space) == TENDMAP_OK);
    handles();
    closed_handles();
    another_thread();
    places();
    arrays();
    words();
    numbers();
    forked();
    /* Nothing of this has changed anything. */
    CHECK(integer(router) == TENDMAP_OK && take(changes) == TENDMAP_OK);
    CHECK(tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
    CHECK(free_router(router) == TENDMAP_OK && free_changes(changes) == TENDMAP_OK);
    CHECK(tendmap_close(client) == TENDMAP_OK);
    tendmap_config_free(config);
    puts("ok");
    return 0;
}
