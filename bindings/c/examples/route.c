/* Routes the keys that are its arguments:
 *
 *     cc route.c $(pkg-config --cflags --libs tendmap) -o route
 *     ./route 127.0.0.1:3000 test users alice bob
 *
 * TENDMAP_SHM_DIRECTORY, if it is set, is the directory of the segment. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tendmap.h>

static int failed(const char *what) {
    int code = tendmap_last_error_code();
    fprintf(stderr, "%s: %s (%s)\n", what, tendmap_last_error(), tendmap_error_name(code));
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: %s HOST:PORT NAMESPACE SET KEY...\n", argv[0]);
        return 2;
    }
    const char *set = argv[3];
    const char *directory = getenv("TENDMAP_SHM_DIRECTORY");

    tendmap_config *config = tendmap_config_new(argv[1]);
    if (config == NULL)
        return failed("the settings");
    if (directory && tendmap_config_set(config, "shm_directory", directory) != TENDMAP_OK)
        return failed("the directory");
    tendmap_client *client = tendmap_connect(config);
    tendmap_config_free(config);
    if (client == NULL)
        return failed("connect");

    /* One router for each thread. */
    tendmap_router *router = tendmap_router_new(client, NULL);
    uint64_t name_space;
    if (router == NULL || tendmap_router_namespace(router, argv[2], &name_space) != TENDMAP_OK)
        return failed("the router");
    int status = EXIT_SUCCESS;
    for (int i = 4; i < argc; i++) {
        tendmap_route route;
        tendmap_node node;
        if (tendmap_route_string(router, name_space, set, argv[i], strlen(argv[i]),
                                 TENDMAP_POLICY_SEQUENCE, &route) != TENDMAP_OK ||
            tendmap_router_node(router, route.node, &node) != TENDMAP_OK) {
            status = failed(argv[i]);
            break;
        }
        printf("%s: partition %u, node %s at %s\n", argv[i], (unsigned)route.partition, node.name,
               node.address);
    }
    tendmap_router_free(router);
    tendmap_close(client); /* hands the ownership over */
    return status;
}
