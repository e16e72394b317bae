/* Reads that prefer racks, and settings that change while a client runs.
 * Run as: racks HOSTS DIRECTORY, against namespace "test" with three nodes, in
 * racks 10, 20 and 30 in the order of HOSTS, and two replicas. */
#define _POSIX_C_SOURCE 200809L

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static char *hosts[3];

/* Whether the node is the one in that rack. */
static int in_rack(tendmap_router *router, uint16_t index, int32_t rack)
{
    tendmap_node node;
    CHECK(tendmap_router_node(router, index, &node) == TENDMAP_OK);
    return strcmp(node.address, hosts[rack / 10 - 1]) == 0;
}

/* Each partition goes to the first of the racks that holds it, otherwise to its
 * master. A retry goes to the other node. */
static void all_prefer(tendmap_router *router, const int32_t *racks, size_t count)
{
    const uint32_t prefer = TENDMAP_POLICY_PREFER_RACK, sequence = TENDMAP_POLICY_SEQUENCE;
    uint64_t test = 0;
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    for (uint32_t partition = 0; partition < 4096; partition++) {
        tendmap_route held[2], route;
        CHECK(tendmap_route_partition(router, test, partition, sequence, &held[0]) == TENDMAP_OK);
        held[1] = held[0];
        CHECK(tendmap_route_retry(router, test, sequence, &held[1]) == TENDMAP_OK);
        size_t wanted = 2;
        for (size_t i = 0; i < count && wanted == 2; i++) {
            wanted = in_rack(router, held[0].node, racks[i])   ? 0
                     : in_rack(router, held[1].node, racks[i]) ? 1
                                                               : 2;
        }
        wanted %= 2;
        CHECK(tendmap_route_partition(router, test, partition, prefer, &route) == TENDMAP_OK);
        CHECK(route.node == held[wanted].node && route.replica == wanted);
        CHECK(tendmap_route_retry(router, test, prefer, &route) == TENDMAP_OK);
        CHECK(route.node == held[1 - wanted].node);
    }
}

static void changes(tendmap_client *client, tendmap_router *router)
{
    const int32_t racks[] = {30, 10, 20};
    CHECK(tendmap_client_set_preferred_racks(client, racks, 3) == TENDMAP_OK);
    all_prefer(router, racks, 3);
    CHECK(tendmap_client_set_preferred_racks(client, racks, 1) == TENDMAP_OK);
    all_prefer(router, racks, 1);
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of racks",
          tendmap_client_set_preferred_racks(client, NULL, 1));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a tendmap_client",
          tendmap_client_set_preferred_racks(NULL, racks, 1));
    all_prefer(router, racks, 1);

    tendmap_status status = {.size = sizeof status};
    FAILS(TENDMAP_ERROR_CONFIG, "tend_interval is 49ms",
          tendmap_client_set_tend_interval(client, 49));
    FAILS(TENDMAP_ERROR_CONFIG, "shm_takeover_threshold is 30s",
          tendmap_client_set_tend_interval(client, 60000));
    FAILS(TENDMAP_ERROR_CONFIG, "wanted at most 365 days",
          tendmap_client_set_tend_interval(client, UINT64_MAX));
    CHECK(tendmap_client_set_tend_interval(client, 60) == TENDMAP_OK);
    do {
        CHECK(tendmap_client_status(client, &status) == TENDMAP_OK);
    } while (status.tend_interval_ms != 60);

    /* On request the owner tends in spite of its long interval. */
    CHECK(tendmap_client_set_tend_interval(client, 12000) == TENDMAP_OK);
    do {
        CHECK(tendmap_client_status(client, &status) == TENDMAP_OK);
    } while (status.tend_interval_ms != 12000);
    uint64_t tends = status.tends;
    time_t begun = time(NULL);
    do {
        CHECK(tendmap_client_request_tend(client) == TENDMAP_OK);
        CHECK(nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL) == 0);
        CHECK(tendmap_client_status(client, &status) == TENDMAP_OK);
        CHECK(time(NULL) - begun < 11);
    } while (status.tends == tends);
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a tendmap_client",
          tendmap_client_request_tend(NULL));

    FAILS(TENDMAP_ERROR_CONFIG, "set user", tendmap_client_set_password(client, "secret"));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a password",
          tendmap_client_set_password(client, NULL));
}

/* A child's own client prefers the same racks as its parent's. */
static void in_a_child(tendmap_client *client, tendmap_router *inherited)
{
    const int32_t racks[] = {30, 20};
    all_prefer(inherited, racks, 1);
    tendmap_router *router = tendmap_router_new(client, NULL);
    all_prefer(router, racks, 1);
    CHECK(tendmap_client_set_preferred_racks(client, racks + 1, 1) == TENDMAP_OK);
    all_prefer(router, racks + 1, 1);
    all_prefer(inherited, racks, 1);
    CHECK(tendmap_router_free(router) == TENDMAP_OK);
    CHECK(tendmap_close(client) == TENDMAP_OK);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOSTS DIRECTORY\n", argv[0]);
        return 2;
    }
    tendmap_config *config = config_of(argv);
    char *rest = strdup(argv[1]);
    char *saved = NULL;
    for (int i = 0; i < 3; i++) {
        hosts[i] = strtok_r(i == 0 ? rest : NULL, ",", &saved);
        CHECK(hosts[i] != NULL);
    }
    FAILS(TENDMAP_ERROR_CONFIG, "preferred_racks is \"left\"",
          tendmap_config_set(config, "preferred_racks", "left"));
    FAILS(TENDMAP_ERROR_CONFIG, "wanted TOLD=USED",
          tendmap_config_set(config, "ip_map", "10.0.0.1"));
    CHECK(tendmap_config_set(config, "preferred_racks", "20,10") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "ip_map", "10.0.0.1=127.0.0.1") == TENDMAP_OK);
    /* Later the interval is so long that the takeover threshold allows no more. */
    CHECK(tendmap_config_set(config, "connect_timeout", "2s") == TENDMAP_OK);
    tendmap_client *client = tendmap_connect(config);
    CHECK(client != NULL);
    tendmap_config_free(config);
    tendmap_router *router = tendmap_router_new(client, NULL);
    CHECK(router != NULL);
    const int32_t racks[] = {20, 10};
    all_prefer(router, racks, 2);
    CHECK(tendmap_client_set_preferred_racks(client, NULL, 0) == TENDMAP_OK);
    all_prefer(router, NULL, 0);
    changes(client, router);

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        in_a_child(client, router);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    all_prefer(router, (const int32_t[]){30}, 1);
    CHECK(tendmap_router_free(router) == TENDMAP_OK);
    CHECK(tendmap_close(client) == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_CLOSED, "the client is closed",
          tendmap_client_set_tend_interval(client, 100));
    free(rest);
    puts("ok");
    return 0;
}
