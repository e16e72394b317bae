/* Connects with a password from standard input. Between its steps it waits for a
 * line of input: connected, another password, the client closed. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include <tendmap.h>

static char line[256];

static const char *next_line(void) {
    if (!fgets(line, sizeof line, stdin)) {
        return NULL;
    }
    line[strcspn(line, "\n")] = 0;
    return line;
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, tendmap_last_error());
    return 1;
}

static void done(const char *what) {
    /* The program's own copy. */
    explicit_bzero(line, sizeof line);
    puts(what);
    fflush(stdout);
}

int main(int count, char **arguments) {
    if (count != 4) {
        return 2;
    }
    /* The stream keeps no copy of it. */
    setvbuf(stdin, NULL, _IONBF, 0);
    tendmap_config *config = tendmap_config_new(arguments[1]);
    const char *const settings[][2] = {
        {"shm_key", "0xA7005EC1"}, {"shm_directory", arguments[2]}, {"user", "keeper"},
        {"auth_mode", arguments[3]}, {"tend_interval", "50ms"},
    };
    for (size_t at = 0; at < sizeof settings / sizeof *settings; at++) {
        if (tendmap_config_set(config, settings[at][0], settings[at][1])) {
            return fail(settings[at][0]);
        }
    }
    if (!next_line() || tendmap_config_set(config, "password", line)) {
        return fail("password");
    }
    tendmap_client *client = tendmap_connect(config);
    if (!client) {
        return fail("connect");
    }
    tendmap_config_free(config);
    done("connected");
    if (!next_line() || tendmap_client_set_password(client, line)) {
        return fail("another password");
    }
    done("changed");
    if (!next_line()) {
        return 1;
    }
    tendmap_close(client);
    done("closed");
    return next_line() ? 0 : 1;
}
