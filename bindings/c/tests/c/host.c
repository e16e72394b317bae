/* The library does not disturb its program: signals, memory, loading.
 * Run as: host HOSTS DIRECTORY, against namespace "test". */
#define _GNU_SOURCE

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t handled;

static void handle(int signal)
{
    (void)signal;
    handled = 1;
}

/* A signal that all of the program's own threads block stays pending for sigwait():
 * the library's thread never runs a handler, and a SIGTERM that the program wants to
 * receive with sigwait() does not kill it. */
static void signals(char **argv)
{
    tendmap_config *config = config_of(argv);
    tendmap_client *client = tendmap_connect(config);
    tendmap_config_free(config);
    CHECK(client != NULL && tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
    struct sigaction action = {.sa_handler = handle};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    sigset_t mine, before, left;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR1);
    sigaddset(&mine, SIGTERM);
    CHECK(pthread_sigmask(SIG_BLOCK, &mine, &before) == 0);
    CHECK(sigismember(&before, SIGUSR1) == 0);
    for (int turn = 0; turn < 2; turn++) {
        int found = 0, sent = turn == 0 ? SIGUSR1 : SIGTERM;
        CHECK(kill(getpid(), sent) == 0);
        CHECK(nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL) == 0);
        CHECK(sigpending(&left) == 0 && sigismember(&left, sent) == 1);
        CHECK(sigwait(&mine, &found) == 0 && found == sent && handled == 0);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    /* The caller's own mask has not changed. */
    CHECK(kill(getpid(), SIGUSR1) == 0 && handled == 1);
    CHECK(tendmap_close(client) == TENDMAP_OK);
}

/* A batch without enough memory is an error of the call. */
static void memory(char **argv)
{
    enum { COUNT = 4 << 20 };
    tendmap_config *config = config_of(argv);
    tendmap_client *client = tendmap_connect(config);
    tendmap_config_free(config);
    tendmap_router *router = tendmap_router_new(client, NULL);
    uint64_t test = 0;
    CHECK(tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    int64_t *keys = calloc(COUNT, sizeof *keys);
    uint8_t (*digests)[20] = calloc(COUNT, sizeof *digests);
    const char **texts = calloc(COUNT, sizeof *texts);
    uint16_t *nodes = calloc(COUNT, sizeof *nodes);
    CHECK(keys != NULL && digests != NULL && texts != NULL && nodes != NULL);
    for (size_t i = 0; i < COUNT; i++) {
        texts[i] = "k";
    }
    struct rlimit before, narrow;
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    narrow = before;
    /* Pages of the address space in use, and 32 MiB more. */
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%lu", &pages) == 1 && fclose(statm) == 0);
    narrow.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (32 << 20);
    CHECK(setrlimit(RLIMIT_AS, &narrow) == 0);
    FAILS(TENDMAP_ERROR_ARGUMENT, "no memory for 4194304 keys",
          tendmap_route_batch_integers(router, test, "s", keys, COUNT, 1, nodes, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "no memory for 4194304 keys",
          tendmap_route_batch_digests(router, test, (const uint8_t (*)[20])digests, COUNT, 1,
                                      nodes, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "no memory for 4194304 keys",
          tendmap_route_batch_strings(router, test, "s", texts, NULL, COUNT, 1, nodes, NULL));
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    CHECK(tendmap_route_batch_integers(router, test, "s", keys, COUNT, 1, nodes, NULL)
          == TENDMAP_OK);
    CHECK(nodes[0] == nodes[COUNT - 1] && nodes[0] != TENDMAP_NO_NODE);
    free(keys), free(digests), free(texts), free(nodes);
    CHECK(tendmap_router_free(router) == TENDMAP_OK);
    CHECK(tendmap_close(client) == TENDMAP_OK);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOSTS DIRECTORY\n", argv[0]);
        return 2;
    }
    signals(argv);
    memory(argv);
    puts("ok");
    return 0;
}
