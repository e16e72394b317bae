/* Readers, and descriptors that become readable when the map changes. Run as:
 * waiting HOSTS DIRECTORY, against namespace "test" with three nodes. The program that
 * runs it changes the map after each line "change" that is printed. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static int readable(int fd, int timeout)
{
    struct pollfd asked = {.fd = fd, .events = POLLIN};
    int found = poll(&asked, 1, timeout);
    CHECK(found >= 0);
    return found == 1 && asked.revents == POLLIN;
}

/* Lets the program's parent change the map. */
static void change(void)
{
    puts("change");
    CHECK(fflush(stdout) == 0);
}

static int threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    while (readdir(tasks) != NULL)
        count++;
    CHECK(closedir(tasks) == 0);
    return count;
}

/* A reader of the same segment, made without hosts. */
static tendmap_client *open_reader(char **argv)
{
    tendmap_config *config = tendmap_config_new(NULL);
    CHECK(tendmap_config_set(config, "shm_directory", argv[2]) == TENDMAP_OK);
    tendmap_client *reader = tendmap_reader_open(config);
    tendmap_config_free(config);
    return reader;
}

static void a_reader_does_what_needs_no_thread(tendmap_client *reader)
{
    CHECK(tendmap_client_role(reader) == TENDMAP_ROLE_READER);
    tendmap_router *router = tendmap_router_new(reader, NULL);
    uint64_t test = 0, sequence = 0;
    CHECK(router != NULL && tendmap_router_namespace(router, "test", &test) == TENDMAP_OK);
    tendmap_route route;
    CHECK(tendmap_route_integer(router, test, "users", 42, TENDMAP_POLICY_MASTER, &route) ==
          TENDMAP_OK);
    int64_t keys[] = {42, 43};
    uint16_t chosen[2];
    CHECK(tendmap_route_batch_integers(router, test, "users", keys, 2, TENDMAP_POLICY_MASTER,
                                       chosen, &sequence) == TENDMAP_OK);
    CHECK(chosen[0] == route.node && sequence == route.sequence);
    tendmap_node nodes[8];
    size_t count = 0;
    CHECK(tendmap_client_nodes(reader, nodes, 8, &count) == TENDMAP_OK && count == 3);
    tendmap_status status = {.size = sizeof status};
    CHECK(tendmap_client_status(reader, &status) == TENDMAP_OK && status.nodes == 3);
    char *json = tendmap_client_status_json(reader);
    CHECK(json != NULL && strstr(json, "\"owner_alive\":true") != NULL);
    tendmap_string_free(json);
    CHECK(tendmap_wait_for_change(reader, 0, 0, &sequence) == TENDMAP_OK);
    CHECK(sequence == status.sequence);
    CHECK(tendmap_client_request_tend(reader) == TENDMAP_OK);
    const int32_t racks[] = {20};
    CHECK(tendmap_client_set_preferred_racks(reader, racks, 1) == TENDMAP_OK);
    CHECK(tendmap_router_free(router) == TENDMAP_OK);

    char *event = NULL;
    FAILS(TENDMAP_ERROR_READ_ONLY, "connect as a client", tendmap_keep(reader));
    FAILS(TENDMAP_ERROR_READ_ONLY, "connect as a client",
          tendmap_client_next_event(reader, &event));
    FAILS(TENDMAP_ERROR_READ_ONLY, "connect as a client",
          tendmap_client_set_tend_interval(reader, 100));
    FAILS(TENDMAP_ERROR_READ_ONLY, "connect as a client",
          tendmap_client_set_password(reader, "x"));
}

static void bad_settings_of_a_reader(char **argv)
{
    NO_POINTER(TENDMAP_ERROR_ARGUMENT, "null instead of a tendmap_config",
               tendmap_reader_open(NULL));
    tendmap_config *config = config_of(argv);
    CHECK(tendmap_config_set(config, "shm_key", "0x51000001") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_SEGMENT, "0x51000001", tendmap_reader_open(config));
    CHECK(tendmap_config_set(config, "shm_key", "0xA7000000") == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "cluster_name", "other") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_OTHER_CLUSTER, "\"other\"", tendmap_reader_open(config));
    CHECK(tendmap_config_set(config, "use_shm", "false") == TENDMAP_OK);
    NO_POINTER(TENDMAP_ERROR_CONFIG, "use_shm is false", tendmap_reader_open(config));
    tendmap_config_free(config);
}

static void a_change_is_told_once_to_each(tendmap_client *client, tendmap_client *reader)
{
    enum { HANDLES = 4 };
    tendmap_changes *changes[HANDLES];
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < HANDLES; i++) {
        changes[i] = tendmap_changes_new(i % 2 ? reader : client);
        CHECK(changes[i] != NULL);
        int fd = tendmap_changes_fd(changes[i]);
        CHECK(fd >= 0 && tendmap_changes_fd(changes[i]) == fd);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK);
        /* Two of them level-triggered, two edge-triggered. */
        struct epoll_event wanted = {.events = EPOLLIN | (i < 2 ? 0 : EPOLLET), .data.fd = i};
        CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted) == 0);
        CHECK(!readable(fd, 0));
    }
    uint64_t seen[HANDLES];
    for (int round = 0; round < 3; round++) {
        int told[HANDLES] = {0}, left = HANDLES;
        for (int i = 0; i < HANDLES; i++) {
            CHECK(tendmap_changes_take(changes[i], &seen[i]) == TENDMAP_OK);
        }
        change();
        while (left > 0) {
            struct epoll_event found;
            CHECK(epoll_wait(poller, &found, 1, 60000) == 1);
            uint64_t sequence = 0;
            int i = found.data.fd;
            CHECK(tendmap_changes_take(changes[i], &sequence) == TENDMAP_OK);
            CHECK(sequence >= seen[i]);
            left -= sequence > seen[i] && !told[i]++;
        }
    }
    CHECK(tendmap_changes_take(changes[0], NULL) == TENDMAP_OK);
    for (int i = 0; i < HANDLES; i++) {
        int fd = tendmap_changes_fd(changes[i]);
        CHECK(tendmap_changes_free(changes[i]) == TENDMAP_OK);
        CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
        FAILS(TENDMAP_ERROR_CLOSED, "the handle for changes is closed",
              tendmap_changes_take(changes[i], &seen[i]));
        CHECK(tendmap_changes_fd(changes[i]) == -1);
    }
    CHECK(close(poller) == 0);
}

static void in_a_child(tendmap_client *client)
{
    tendmap_changes *inherited = tendmap_changes_new(client);
    int fd = tendmap_changes_fd(inherited);
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    char byte = 0;
    if (pid == 0) {
        alarm(60);
        uint64_t sequence = 0, before = 0;
        FAILS(TENDMAP_ERROR_FORKED, "parent process", tendmap_changes_take(inherited, &sequence));
        tendmap_changes *own = tendmap_changes_new(client);
        CHECK(own != NULL && tendmap_changes_take(own, &before) == TENDMAP_OK);
        change();
        do {
            CHECK(readable(tendmap_changes_fd(own), 60000));
            CHECK(tendmap_changes_take(own, &sequence) == TENDMAP_OK);
        } while (sequence == before);
        /* The parent's was rung, and can't be cleared from here. */
        CHECK(readable(fd, 60000));
        FAILS(TENDMAP_ERROR_FORKED, "parent process", tendmap_changes_take(inherited, NULL));
        CHECK(readable(fd, 0));
        CHECK(tendmap_changes_free(inherited) == TENDMAP_OK);
        CHECK(tendmap_changes_free(own) == TENDMAP_OK);
        CHECK(read(ends[1], &byte, 1) == 1 && write(ends[1], "d", 1) == 1);
        pause();
    }
    CHECK(close(ends[1]) == 0 && readable(fd, 60000));
    CHECK(write(ends[0], "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'd');
    /* It must not end by itself: valgrind would report memory that only the parent's
     * threads hold as lost. */
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    CHECK(readable(fd, 0));
    CHECK(tendmap_changes_take(inherited, NULL) == TENDMAP_OK && !readable(fd, 0));
    CHECK(tendmap_changes_free(inherited) == TENDMAP_OK);
    CHECK(close(ends[0]) == 0);
}

static void without_descriptors(tendmap_client *client)
{
    struct rlimit before, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 3;
    for (int i = 0; i < 3; i++) {
        CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
        NO_POINTER(TENDMAP_ERROR_DESCRIPTOR, "RLIMIT_NOFILE", tendmap_changes_new(client));
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
        tendmap_changes *changes = tendmap_changes_new(client);
        CHECK(changes != NULL && tendmap_changes_free(changes) == TENDMAP_OK);
    }
}

static pthread_barrier_t begun;

static void *waits(void *of)
{
    uint64_t now = 0, before = 0;
    CHECK(tendmap_wait_for_change(of, 0, 0, &before) == TENDMAP_OK);
    pthread_barrier_wait(&begun);
    int code = tendmap_wait_for_change(of, before, UINT64_MAX, &now);
    CHECK(code == TENDMAP_ERROR_CLOSED);
    return of;
}

static void a_close_is_told(tendmap_client *client)
{
    tendmap_changes *changes[] = {tendmap_changes_new(client), tendmap_changes_new(client)};
    pthread_t waiter;
    CHECK(pthread_barrier_init(&begun, NULL, 2) == 0);
    CHECK(pthread_create(&waiter, NULL, waits, client) == 0);
    pthread_barrier_wait(&begun);
    CHECK(tendmap_close(client) == TENDMAP_OK);
    CHECK(pthread_join(waiter, NULL) == 0);
    pthread_barrier_destroy(&begun);
    for (int i = 0; i < 2; i++) {
        CHECK(readable(tendmap_changes_fd(changes[i]), 0));
        FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_changes_take(changes[i], NULL));
        CHECK(!readable(tendmap_changes_fd(changes[i]), 0));
        FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_changes_take(changes[i], NULL));
        CHECK(tendmap_changes_free(changes[i]) == TENDMAP_OK);
    }
    NO_POINTER(TENDMAP_ERROR_CLOSED, "closed", tendmap_changes_new(client));
}

static void bad_handles(tendmap_client *client)
{
    NO_POINTER(TENDMAP_ERROR_ARGUMENT, "null instead of a tendmap_client",
               tendmap_changes_new(NULL));
    tendmap_changes *changes = tendmap_changes_new(client);
    NO_POINTER(TENDMAP_ERROR_ARGUMENT, "not a tendmap_client",
               tendmap_changes_new((tendmap_client *)(void *)changes));
    FAILS(TENDMAP_ERROR_ARGUMENT, "not a tendmap_changes",
          tendmap_changes_take((tendmap_changes *)(void *)client, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "null instead of a tendmap_changes",
          tendmap_changes_take(NULL, NULL));
    FAILS(TENDMAP_ERROR_ARGUMENT, "instead of a place for a sequence",
          tendmap_changes_take(changes, (uint64_t *)(void *)1));
    CHECK(tendmap_changes_fd(NULL) == -1);
    CHECK(tendmap_changes_free(NULL) == TENDMAP_OK);
    CHECK(tendmap_changes_free(changes) == TENDMAP_OK);
    FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_changes_free(changes));
}

static void names_of_errors(void)
{
    CHECK(strcmp(tendmap_error_name(TENDMAP_OK), "TENDMAP_OK") == 0);
    CHECK(strcmp(tendmap_error_name(TENDMAP_ERROR_CLOSED), "TENDMAP_ERROR_CLOSED") == 0);
    CHECK(strcmp(tendmap_error_name(TENDMAP_ERROR_MAP), "TENDMAP_ERROR_MAP") == 0);
    const int none[] = {-1, 9, 1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        CHECK(strcmp(tendmap_error_name(none[i]), "TENDMAP_ERROR_UNKNOWN") == 0);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    names_of_errors();
    NO_POINTER(TENDMAP_ERROR_SEGMENT, "0xa7000000", open_reader(argv));
    tendmap_config *config = config_of(argv);
    tendmap_client *client = tendmap_connect(config);
    CHECK(client != NULL);
    int before = threads();
    tendmap_client *reader = open_reader(argv);
    CHECK(reader != NULL);
    bad_settings_of_a_reader(argv);
    a_reader_does_what_needs_no_thread(reader);
    CHECK(threads() <= before);
    bad_handles(client);
    bad_handles(reader);
    a_change_is_told_once_to_each(client, reader);
    in_a_child(client);
    in_a_child(reader);
    without_descriptors(client);
    a_close_is_told(reader);
    FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_client_request_tend(reader));
    a_close_is_told(client);
    tendmap_config_free(config);
    puts("ok");
    return 0;
}
