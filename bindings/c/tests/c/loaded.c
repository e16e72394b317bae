/* A program that loads the library at run time and unloads it again, as PHP does
 * after each request. Run as: loaded LIBRARY. */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s LIBRARY\n", argv[0]);
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL || dlclose(library) != 0) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    /* Otherwise the library's threads, its attachments and the threads' last errors
     * would lose their code. */
    if (dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL) {
        fprintf(stderr, "the library was unloaded\n");
        return 1;
    }
    puts("ok");
    return 0;
}
