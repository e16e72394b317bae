/* The cost of routing in a C program: nanoseconds of the thread's processor time per
 * key, one line per round. benches/route.rs runs it beside the same work in Rust.
 * Run as: route HOSTS DIRECTORY ROUNDS. */
#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "../tests/c/check.h"

enum { CALLS = 5000, KEYS = 50000 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    tendmap_config *config = config_of(argv);
    tendmap_client *client = tendmap_connect(config);
    tendmap_router *router = tendmap_router_new(client, NULL);
    uint64_t test = 0;
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    static int64_t keys[KEYS];
    static uint16_t nodes[KEYS];
    for (int64_t key = 0; key < KEYS; key++) {
        keys[key] = key;
    }
    const uint32_t master = TENDMAP_POLICY_MASTER;
    for (int round = atoi(argv[3]); round > 0; round--) {
        tendmap_route route = {0};
        uint64_t sum = 0;
        double begun = now();
        for (int64_t key = 0; key < CALLS; key++) {
            CHECK(tendmap_route_integer(router, test, "users", key, master, &route) == TENDMAP_OK);
            sum += route.node;
        }
        double one = (now() - begun) / CALLS;
        begun = now();
        CHECK(tendmap_route_batch_integers(router, test, "users", keys, KEYS, master, nodes, NULL)
              == TENDMAP_OK);
        double many = (now() - begun) / KEYS;
        printf("%.2f %.2f %llu\n", one, many, (unsigned long long)sum);
    }
    tendmap_router_free(router);
    tendmap_close(client);
    tendmap_config_free(config);
    return 0;
}
