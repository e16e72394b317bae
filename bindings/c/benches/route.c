/* The cost of routing in a C program: nanoseconds of the thread's processor time per
 * key, one line per round. The last two numbers are a key routed by hand, with libcrypto
 * and an array (0 without WITH_LIBCRYPTO), and a reader that is opened and closed.
 * benches/route.rs runs it beside the same work in Rust.
 * Run as: route HOSTS DIRECTORY ROUNDS. */
#define _POSIX_C_SOURCE 200809L

#ifdef WITH_LIBCRYPTO
#include <openssl/evp.h>
#endif

#include <time.h>

#include "../tests/c/check.h"

enum { CALLS = 5000, KEYS = 50000, READERS = 20, PARTITIONS = 4096 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* What a program without tendmap does for a key, once it has the map. */
static double by_hand(void)
{
#ifdef WITH_LIBCRYPTO
    static uint16_t map[PARTITIONS];
    unsigned char record[] = "users\1........", digest[EVP_MAX_MD_SIZE];
    uint64_t sum = 0;
    double begun = now();
    for (int64_t key = 0; key < CALLS; key++) {
        for (int byte = 0; byte < 8; byte++) {
            record[6 + byte] = (unsigned char)((uint64_t)key >> (56 - 8 * byte));
        }
        CHECK(EVP_Digest(record, 14, digest, NULL, EVP_ripemd160(), NULL) == 1);
        sum += map[(digest[0] | digest[1] << 8) % PARTITIONS];
    }
    CHECK(sum == 0);
    return (now() - begun) / CALLS;
#else
    return 0;
#endif
}

static double attach(const tendmap_config *config)
{
    double begun = now();
    for (int count = 0; count < READERS; count++) {
        CHECK(tendmap_close(tendmap_reader_open(config)) == TENDMAP_OK);
    }
    return (now() - begun) / READERS;
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
        CHECK(sum < (uint64_t)CALLS * TENDMAP_NO_NODE);
        printf("%.2f %.2f %.2f %.2f\n", one, many, by_hand(), attach(config));
    }
    tendmap_router_free(router);
    tendmap_close(client);
    tendmap_config_free(config);
    return 0;
}
