/* Uses every function from three threads while another process stores arbitrary
 * bytes into the segment, and times each call.
 * Run as: hostile HOSTS DIRECTORY BACKEND KEY ROUNDS TIMES, against namespace "test".
 * Connects TIMES times. Each time each thread makes ROUNDS rounds; the first time it
 * repeats them until standard input ends.
 * Prints "ok" if no call spun or hung. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 3, KEYS = 1000, NODES = 64 };
/* Limits in seconds: processor time, and total time, because the machine may be busy. */
static const double MOST_CPU = 1.0, MOST_WALL = 10.0;

static tendmap_client *client;
static tendmap_config *settings;
static long rounds;
static unsigned long faults;
static int ended;

static double now(clockid_t clock)
{
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Times a call that may wait for at most `allowed` seconds. */
#define TIMED(name, allowed, call)                                                       \
    do {                                                                                 \
        double begun = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID);         \
        call;                                                                            \
        double wall = now(CLOCK_MONOTONIC) - begun - (allowed);                          \
        cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;                                        \
        /* A defect that was caught. */                                                  \
        CHECK(tendmap_last_error_code() != TENDMAP_ERROR_INTERNAL);                      \
        if (cpu > MOST_CPU || wall > MOST_WALL) {                                        \
            fprintf(stderr, "%s took %.2f s, %.2f of them on a processor\n", name, wall, \
                    cpu);                                                                \
            __atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);                            \
        }                                                                                \
    } while (0)

static void *work(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    tendmap_router *router = tendmap_router_new(client, NULL);
    tendmap_changes *changes = tendmap_changes_new(client);
    CHECK(router != NULL && changes != NULL);
    uint64_t test = 0, sequence = 0;
    int known = 0;
    int64_t keys[KEYS];
    uint16_t chosen[KEYS];
    tendmap_node nodes[NODES];
    size_t count = 0;
    for (int i = 0; i < KEYS; i++)
        keys[i] = i;
    for (long round = 0; round < rounds; round++) {
        tendmap_route route;
        memset(&route, 0, sizeof route);
        if (!known)
            TIMED("namespace", 0,
                  known = tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
        for (uint32_t part = 0; known && part < 200; part++) {
            uint32_t policy = part % 6;
            TIMED("route", 0, tendmap_route_partition(router, test, part * 21, policy, &route));
            TIMED("retry", 0, tendmap_route_retry(router, test, policy, &route));
            TIMED("node", 0, tendmap_router_node(router, route.node, nodes));
        }
        for (uint32_t policy = 0; known && policy < 5; policy++)
            TIMED("batch", 0,
                  tendmap_route_batch_integers(router, test, "users", keys, KEYS, policy, chosen,
                                               &sequence));
        /* An earlier answer may contain what another process wrote. */
        seed = seed * 1103515245u + 12345u;
        memset(&route, (int)(seed >> 16 & 255), sizeof route);
        TIMED("retry", 0, tendmap_route_retry(router, test, round % 6, &route));
        tendmap_status status;
        memset(&status, 0, sizeof status);
        status.size = sizeof status;
        TIMED("status", 0, tendmap_client_status(client, &status));
        CHECK(memchr(status.cluster_name, 0, sizeof status.cluster_name) != NULL);
        TIMED("nodes", 0, tendmap_client_nodes(client, nodes, NODES, &count));
        char *json = NULL;
        TIMED("json", 0, json = tendmap_client_status_json(client));
        CHECK(json == NULL || strlen(json) > 2);
        tendmap_string_free(json);
        TIMED("wait", 0.005, tendmap_wait_for_change(client, sequence, 5, &sequence));
        TIMED("take", 0, tendmap_changes_take(changes, &sequence));
        CHECK(tendmap_last_error() != NULL);
        /* Once for each thread: it may try several times. */
        tendmap_client *reader = NULL;
        tendmap_changes *others = NULL;
        if (round == 0)
            TIMED("read", 0, reader = tendmap_reader_open(settings));
        if (reader != NULL) {
            TIMED("changes", 0, others = tendmap_changes_new(reader));
            TIMED("status", 0, tendmap_client_status(reader, &status));
            TIMED("close", 0, tendmap_close(reader));
            TIMED("free", 0, tendmap_changes_free(others));
        }
    }
    TIMED("free", 0, tendmap_changes_free(changes));
    tendmap_router_free(router);
    return NULL;
}

/* Waits until the parent closes standard input. */
static void *await_end(void *argument)
{
    while (getchar() != EOF)
        ;
    __atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
    return argument;
}

int main(int argc, char **argv)
{
    CHECK(argc == 7);
    tendmap_config *config = settings = config_of(argv);
    CHECK(tendmap_config_set(config, "shm_backend", argv[3]) == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "shm_key", argv[4]) == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "connect_timeout", "200ms") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "shm_takeover_threshold", "1s") == TENDMAP_OK);
    rounds = atol(argv[5]);
    long least = atol(argv[6]);
    pthread_t waiter;
    CHECK(pthread_create(&waiter, NULL, await_end, NULL) == 0);
    /* Several times: each one starts with what the last one left. */
    for (int times = 0; times < least; times++) {
        for (int tries = 0; tries < 2000 && client == NULL; tries++) {
            TIMED("connect", 2, client = tendmap_connect(config));
            if (client == NULL)
                nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
        CHECK(client != NULL);
        pthread_t threads[THREADS];
        do {
            for (size_t i = 0; i < THREADS; i++)
                CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
            for (size_t i = 0; i < THREADS; i++)
                CHECK(pthread_join(threads[i], NULL) == 0);
        } while (times == 0 && !__atomic_load_n(&ended, __ATOMIC_RELAXED));
        TIMED("close", 0, tendmap_close(client));
        client = NULL;
    }
    CHECK(pthread_join(waiter, NULL) == 0);
    tendmap_config_free(config);
    CHECK(faults == 0);
    puts("ok");
    return 0;
}
