/* A forked child that has changed its user and closed its parent's descriptors. It
 * can't attach by itself, and continues to route with the inherited mapping. */

#include "check.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tendmap.h"

int main(int argc, char **argv) {
    CHECK(argc == 3);
    if (geteuid() != 0) {
        fprintf(stderr, "skipped: only root can become another user\n");
        puts("ok");
        return 0;
    }
    struct tendmap_config *config = tendmap_config_new(argv[1]);
    CHECK(config != NULL);
    CHECK(tendmap_config_set(config, "shm_directory", argv[2]) == 0);
    struct tendmap_client *client = tendmap_connect(config);
    CHECK(client != NULL);
    tendmap_config_free(config);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int number = 3; number < 256; number++) close(number);
        CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        struct tendmap_router *router = tendmap_router_new(client, 0);
        CHECK(router != NULL);
        uint64_t space = 0;
        CHECK(tendmap_router_namespace(router, "test", &space) == 0);
        struct tendmap_route route;
        memset(&route, 0, sizeof route);
        CHECK(tendmap_route_integer(router, space, "users", 42, TENDMAP_POLICY_SEQUENCE, &route) ==
              0);
        /* It is not attached. */
        CHECK(tendmap_client_role(client) == TENDMAP_ROLE_CLOSED);
        char *event = NULL;
        CHECK(tendmap_client_next_event(client, &event) == 0);
        CHECK(event != NULL && strstr(event, "only reads the map that it has inherited") != NULL);
        tendmap_string_free(event);
        tendmap_router_free(router);
        CHECK(tendmap_close(client) == 0);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
    CHECK(tendmap_close(client) == 0);
    puts("ok");
    return 0;
}
