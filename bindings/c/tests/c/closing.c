/* Closing: the client has closed when the call returns, also while other threads wait,
 * in a forked child, and at exit. Run as: closing HOSTS DIRECTORY, against namespace "test". */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char *directory;

/* The number of files left. */
static int files(void)
{
    int count = 0;
    DIR *open = opendir(directory);
    CHECK(open != NULL);
    for (struct dirent *entry; (entry = readdir(open)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(open);
    return count;
}

static pthread_barrier_t begun;

static void *waits(void *of)
{
    tendmap_client *client = of;
    uint64_t now = 0, before = 0;
    CHECK(tendmap_wait_for_change(client, 0, UINT64_MAX, &before) == TENDMAP_OK);
    pthread_barrier_wait(&begun);
    FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_wait_for_change(client, before, UINT64_MAX, &now));
    FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_wait_for_change(client, before, 0, &now));
    return NULL;
}

static void *closes(void *of)
{
    int code = tendmap_close(of);
    CHECK(code == TENDMAP_OK || code == TENDMAP_ERROR_CLOSED);
    return code == TENDMAP_OK ? of : NULL;
}

static void while_others_wait(const tendmap_config *config)
{
    enum { THREADS = 4 };
    for (int round = 0; round < 10; round++) {
        tendmap_client *client = tendmap_connect(config);
        pthread_t threads[THREADS];
        CHECK(client != NULL);
        CHECK(pthread_barrier_init(&begun, NULL, THREADS + 1) == 0);
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_create(&threads[i], NULL, waits, client) == 0);
        }
        pthread_barrier_wait(&begun);
        CHECK(tendmap_close(client) == TENDMAP_OK);
        CHECK(files() == 0);
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
        }
        pthread_barrier_destroy(&begun);
    }
}

static void from_two_threads(const tendmap_config *config)
{
    for (int round = 0; round < 10; round++) {
        tendmap_client *client = tendmap_connect(config);
        pthread_t threads[2];
        void *closed[2];
        CHECK(client != NULL);
        for (int i = 0; i < 2; i++) {
            CHECK(pthread_create(&threads[i], NULL, closes, client) == 0);
        }
        for (int i = 0; i < 2; i++) {
            CHECK(pthread_join(threads[i], &closed[i]) == 0);
        }
        CHECK((closed[0] == NULL) != (closed[1] == NULL));
        CHECK(files() == 0);
    }
}

/* A kept process stays attached although its clients are closed. */
static void kept(const tendmap_config *config)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        tendmap_client *client = tendmap_connect(config);
        CHECK(client != NULL && tendmap_keep(client) == TENDMAP_OK);
        CHECK(tendmap_close(client) == TENDMAP_OK);
        CHECK(files() == 2);
        client = tendmap_connect(config);
        CHECK(client != NULL && tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
        CHECK(tendmap_close(client) == TENDMAP_OK);
        _exit(0);
    }
    int status = 1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    /* The files of a process that ended without closing are used again, then removed. */
    tendmap_client *client = tendmap_connect(config);
    CHECK(client != NULL && tendmap_close(client) == TENDMAP_OK && files() == 0);
}

static void in_a_child(const tendmap_config *config)
{
    tendmap_client *client = tendmap_connect(config);
    CHECK(client != NULL);
    for (int used = 0; used < 2; used++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(60);
            if (used) {
                CHECK(tendmap_client_role(client) != TENDMAP_ROLE_OWNER);
            }
            CHECK(tendmap_close(client) == TENDMAP_OK);
            FAILS(TENDMAP_ERROR_CLOSED, "closed", tendmap_client_request_tend(client));
            _exit(0);
        }
        int status = 1;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(tendmap_client_role(client) == TENDMAP_ROLE_OWNER);
    }
    CHECK(tendmap_close(client) == TENDMAP_OK && files() == 0);
}

static tendmap_client *last;

static void at_exit(void)
{
    CHECK(tendmap_close(last) == TENDMAP_OK);
    CHECK(files() == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    directory = argv[2];
    tendmap_config *config = config_of(argv);
    kept(config);
    while_others_wait(config);
    from_two_threads(config);
    in_a_child(config);
    last = tendmap_connect(config);
    CHECK(last != NULL && atexit(at_exit) == 0);
    tendmap_config_free(config);
    puts("ok");
    return 0;
}
