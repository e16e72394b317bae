// Routes keys with a pool for each node:
//
//     c++ -std=c++17 route.cpp $(pkg-config --cflags --libs tendmap) -o route
//     ./route 127.0.0.1:3000 test users alice bob
//
// TENDMAP_SHM_DIRECTORY, if it is set, is the directory of the segment.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include <tendmap.hpp>

struct pool {
    std::string address;
    int commands = 0;
};

int main(int argc, char **argv) try {
    if (argc < 5) {
        std::cerr << "usage: " << argv[0] << " HOST:PORT NAMESPACE SET KEY...\n";
        return 2;
    }
    tendmap::config config(argv[1]);
    if (const char *directory = std::getenv("TENDMAP_SHM_DIRECTORY"))
        config.set("shm_directory", directory);
    const tendmap::client client(config);

    tendmap::router<pool> router(client); // one for each thread
    const tendmap::name_space name_space = router.name_space(argv[2]);
    for (int i = 4; i < argc; i++) {
        const auto route = router.find(name_space, argv[3], argv[i]);
        pool *to = route.state();
        if (to == nullptr)
            to = &router.set_state(route.node(),
                                   std::make_unique<pool>(pool{router.node(route.node()).address}));
        to->commands++;
        std::cout << argv[i] << ": partition " << route.partition() << ", " << to->address
                  << ", command " << to->commands << '\n';
    }
} catch (const tendmap::error &error) {
    std::cerr << error.what() << " (" << error.name() << ")\n";
    return 1;
}
