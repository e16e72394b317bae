/* Waits for changes of the map in an event loop, beside a timer, and prints the number
 * of nodes after each. A reader is enough: it has no network and needs only permission
 * to read. Another process tends (`tendmap tend`).
 *
 *     cc event_loop.c $(pkg-config --cflags --libs tendmap) -o event_loop
 *     ./event_loop 5          # ends after 5 changes; without a number, never
 *
 * TENDMAP_SHM_DIRECTORY, if it is set, is the directory of the segment. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <tendmap.h>

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, tendmap_last_error());
    return EXIT_FAILURE;
}

static int add(int loop, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static int print_nodes(const tendmap_client *reader, uint64_t sequence) {
    size_t count;
    if (tendmap_client_nodes(reader, NULL, 0, &count) != TENDMAP_OK)
        return -1;
    printf("sequence %llu: %zu nodes\n", (unsigned long long)sequence, count);
    return fflush(stdout);
}

int main(int argc, char **argv) {
    long left = argc > 1 ? strtol(argv[1], NULL, 10) : -1;
    const char *directory = getenv("TENDMAP_SHM_DIRECTORY");
    tendmap_config *config = tendmap_config_new(NULL);
    if (config == NULL ||
        (directory && tendmap_config_set(config, "shm_directory", directory) != TENDMAP_OK))
        return failed("the settings");
    tendmap_client *reader = tendmap_reader_open(config);
    tendmap_config_free(config);
    if (reader == NULL)
        return failed("no map");
    tendmap_changes *changes = tendmap_changes_new(reader);
    if (changes == NULL)
        return failed("no descriptor");

    int loop = epoll_create1(EPOLL_CLOEXEC);
    int ticks = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec each_second = {{1, 0}, {1, 0}};
    if (loop < 0 || ticks < 0 || timerfd_settime(ticks, 0, &each_second, NULL) != 0 ||
        add(loop, ticks) != 0 || add(loop, tendmap_changes_fd(changes)) != 0) {
        perror("the event loop");
        return EXIT_FAILURE;
    }
    uint64_t sequence;
    if (tendmap_changes_take(changes, &sequence) != TENDMAP_OK || print_nodes(reader, sequence))
        return failed("the first map");
    while (left != 0) {
        struct epoll_event event;
        int ready = epoll_wait(loop, &event, 1, -1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0) {
            perror("epoll_wait");
            return EXIT_FAILURE;
        }
        if (event.data.fd == ticks) {
            uint64_t expired; /* other work of the program is done here */
            if (read(ticks, &expired, sizeof expired) < 0 && errno != EAGAIN)
                perror("the timer");
            continue;
        }
        if (tendmap_changes_take(changes, &sequence) != TENDMAP_OK || print_nodes(reader, sequence))
            return failed("the map");
        if (left > 0)
            left--;
    }
    epoll_ctl(loop, EPOLL_CTL_DEL, tendmap_changes_fd(changes), NULL);
    tendmap_changes_free(changes);
    tendmap_close(reader);
    close(ticks);
    close(loop);
    return EXIT_SUCCESS;
}
