/* Macros and settings for the C tests. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tendmap.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: failed: %s (last error %d: %s)\n", __FILE__,      \
                    __LINE__, #condition, tendmap_last_error_code(),                  \
                    tendmap_last_error());                                            \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* The call fails with that code, and its error contains that text. */
#define FAILS(code, said, call)                                                       \
    do {                                                                              \
        CHECK((call) == (code));                                                      \
        CHECK(tendmap_last_error_code() == (code));                                   \
        CHECK(strstr(tendmap_last_error(), (said)) != NULL);                          \
    } while (0)

/* As FAILS, for calls that return a pointer. */
#define NO_POINTER(code, said, call)                                                  \
    do {                                                                              \
        CHECK((call) == NULL);                                                        \
        CHECK(tendmap_last_error_code() == (code));                                   \
        CHECK(strstr(tendmap_last_error(), (said)) != NULL);                          \
    } while (0)

/* Settings for a test: argv[1] = hosts, argv[2] = directory of segments. */
static inline tendmap_config *config_of(char **argv)
{
    tendmap_config *config = tendmap_config_new(argv[1]);
    CHECK(config != NULL);
    CHECK(tendmap_config_set(config, "shm_directory", argv[2]) == TENDMAP_OK);
    CHECK(tendmap_config_set(config, "tend_interval", "50ms") == TENDMAP_OK);
    /* Under valgrind, or on a busy processor, a pass may take seconds. */
    CHECK(tendmap_config_set(config, "connect_timeout", "10s") == TENDMAP_OK);
    return config;
}

#endif
