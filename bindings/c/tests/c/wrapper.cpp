// The C++ classes hold what tendmap.hpp promises. Arguments: the hosts, and the
// directory of the segments. Prints "change" where it wants the map to change.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <poll.h>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <tendmap.hpp>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            std::cerr << __FILE__ << ':' << __LINE__ << ": failed: " #condition "\n"; \
            std::abort();                                                             \
        }                                                                             \
    } while (false)

// The call throws an error of that kind, whose text contains `said`.
template <typename Call> void fails(int code, const std::string &said, Call call) {
    try {
        call();
    } catch (const tendmap::error &error) {
        if (error.code() == code && std::string(error.what()).find(said) != std::string::npos)
            return;
        std::cerr << error.name() << ": " << error.what() << '\n';
    }
    std::cerr << "wanted error " << tendmap_error_name(code) << ": " << said << '\n';
    std::abort();
}

// Whether a key of this type can be routed.
template <typename Key, typename = void> constexpr bool is_key = false;
template <typename Key>
constexpr bool is_key<Key, std::void_t<decltype(std::declval<tendmap::router<> &>().find(
                               tendmap::name_space{}, "set", std::declval<Key>()))>> = true;

static_assert(is_key<int> && is_key<short> && is_key<unsigned long> && is_key<long long>);
static_assert(is_key<std::string> && is_key<const char *> && is_key<std::string_view>);
static_assert(is_key<double> && is_key<float> && is_key<tendmap::bytes>);
static_assert(!is_key<bool> && !is_key<char> && !is_key<std::nullptr_t> && !is_key<void *>);
static_assert(!std::is_copy_constructible_v<tendmap::client>);
static_assert(std::is_nothrow_move_constructible_v<tendmap::client>);
static_assert(!std::is_copy_constructible_v<tendmap::router<int>>);
static_assert(std::is_move_constructible_v<tendmap::changes>);

static int pools = 0;

struct pool {
    explicit pool(std::string to) : address(std::move(to)) { pools++; }
    ~pool() { pools--; }
    pool(const pool &) = delete;
    pool &operator=(const pool &) = delete;
    std::string address;
};

static tendmap::config settings(const char *hosts, const char *directory) {
    return tendmap::config(hosts).set("shm_directory", directory).set("tend_interval", "100ms");
}

static void keys(const tendmap::client &client) {
    tendmap::router<> router(client);
    const auto test = router.name_space("test");
    const auto forty_two = router.find(test, "users", 42);
    CHECK(forty_two.partition() == router.find(test, "users", 42ULL).partition());
    CHECK(forty_two.partition() ==
          router.find(test, tendmap::digest_of("users", 42)).partition());
    CHECK(forty_two.node() ==
          router.find(test, tendmap::partition{forty_two.partition()}).node());
    CHECK(forty_two.partition() != router.find(test, nullptr, 42).partition());
    CHECK(forty_two.partition() != router.find(test, "users", 42.0).partition());
    CHECK(forty_two.partition() != router.find(test, "users", "42").partition());

    const std::string text = "alice";
    const auto alice = router.find(test, "users", text);
    CHECK(alice.partition() == router.find(test, std::string("users"), "alice").partition());
    CHECK(alice.partition() ==
          router.find(test, tendmap::digest_of("users", std::string_view(text))).partition());
    CHECK(alice.partition() !=
          router.find(test, "users", tendmap::bytes{text.data(), text.size()}).partition());
    // A key may contain any character.
    CHECK(router.find(test, "users", std::string("a\0b", 3)).partition() !=
          router.find(test, "users", "a").partition());

    const auto second = router.retry(test, alice);
    CHECK(alice.replica() == 0 && second.replica() == 1 && second.node() != alice.node());
    CHECK(router.retry(test, alice, tendmap::policy::master).replica() == 0);

    std::vector<std::uint16_t> nodes;
    std::vector<std::int64_t> numbers;
    std::vector<tendmap::digest> digests;
    for (std::int64_t key = 0; key < 1000; key++) {
        numbers.push_back(key);
        digests.push_back(tendmap::digest_of("users", key));
    }
    CHECK(router.find_all(test, "users", numbers, nodes) > 0);
    CHECK(nodes.size() == 1000 && nodes[42] == forty_two.node());
    const auto by_number = nodes;
    router.find_all(test, digests, nodes);
    CHECK(nodes == by_number);
    router.find_all(test, "users", std::vector<std::string_view>{"alice", "", {}}, nodes);
    CHECK(nodes.size() == 3 && nodes[0] == alice.node() && nodes[1] == nodes[2]);
    router.find_all(test, "users", std::vector<std::int64_t>{}, nodes);
    router.find_all(test, "users", std::vector<std::string_view>{}, nodes);
    router.find_all(test, std::vector<tendmap::digest>{}, nodes);
    CHECK(nodes.empty());

    fails(TENDMAP_ERROR_ARGUMENT, "out of range", [&] { router.find(test, "users", UINT64_MAX); });
    fails(TENDMAP_ERROR_ARGUMENT, "null",
          [&] { router.find(test, "users", static_cast<const char *>(nullptr)); });
    fails(TENDMAP_ERROR_ARGUMENT, "zero byte",
          [&] { router.find(test, std::string("us\0ers", 6), 42); });
    fails(TENDMAP_ERROR_ARGUMENT, "UTF-8", [&] { router.find(test, "users", "\xff"); });
    fails(TENDMAP_ERROR_NAMESPACE_UNKNOWN, "none", [&] { router.name_space("none"); });
    fails(TENDMAP_ERROR_FOREIGN_HANDLE, "",
          [&] { router.find(tendmap::name_space{UINT64_MAX}, "users", 42); });
    std::thread([&] {
        fails(TENDMAP_ERROR_WRONG_THREAD, "thread", [&] { router.find(test, "users", 42); });
    }).join();
}

static void states(const tendmap::client &client) {
    {
        tendmap::router<pool> router(client);
        const auto test = router.name_space("test");
        const auto route = router.find(test, "users", 42);
        CHECK(route.state() == nullptr);
        const std::string address = router.node(route.node()).address;
        pool &kept = router.set_state(route.node(), std::make_unique<pool>(address));
        CHECK(router.find(test, "users", 42).state() == &kept && kept.address == address);
        // A router that was moved keeps its states.
        tendmap::router<pool> moved(std::move(router));
        CHECK(moved.find(test, "users", 42).state() == &kept && pools == 1);
        moved.set_state(route.node(), std::make_unique<pool>(address));
        CHECK(pools == 1);
        // What can't be kept stays the caller's, and is destroyed.
        fails(TENDMAP_ERROR_ARGUMENT, "no node has index",
              [&] { moved.set_state(TENDMAP_NO_NODE, std::make_unique<pool>(address)); });
        CHECK(pools == 1);
    }
    CHECK(pools == 0);
}

static void changes(const tendmap::client &client, const tendmap::reader &reader) {
    auto of_client = client.changes();
    auto of_reader = reader.changes();
    const auto before = of_client.take();
    CHECK(of_reader.take() == before);
    std::cout << "change" << std::endl;
    pollfd both[] = {{of_client.fd(), POLLIN, 0}, {of_reader.fd(), POLLIN, 0}};
    for (pollfd &one : both) {
        CHECK(poll(&one, 1, 60'000) == 1 && (one.revents & POLLIN) != 0);
    }
    CHECK(of_client.take() > before && of_reader.take() > before);
    CHECK(reader.wait_for_change(before) > before);
    const auto now = reader.status().sequence;
    CHECK(reader.wait_for_change(now, std::chrono::milliseconds(0)) >= now);
    CHECK(reader.wait_for_change(now, std::chrono::milliseconds(-1)) >= now);
}

template <typename Call> void closed(Call call) {
    fails(TENDMAP_ERROR_CLOSED, "closed or was moved from", call);
}

// NOLINTBEGIN(bugprone-use-after-move): it is what is tested.
static void all_closed(tendmap::client &client) {
    closed([&] { (void)client.role(); });
    closed([&] { (void)client.status(); });
    closed([&] { (void)client.status_json(); });
    closed([&] { (void)client.nodes(); });
    closed([&] { client.wait_for_change(0); });
    closed([&] { (void)client.changes(); });
    closed([&] { client.set_preferred_racks({1}); });
    closed([&] { client.request_tend(); });
    closed([&] { client.next_event(); });
    closed([&] { client.keep(); });
    closed([&] { client.set_tend_interval(std::chrono::milliseconds(200)); });
    closed([&] { client.set_password("secret"); });
    closed([&] { tendmap::router<> router(client); });
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    tendmap::client client(settings(argv[1], argv[2]));
    const tendmap::reader reader(tendmap::config().set("shm_directory", argv[2]));
    CHECK(client.role() == tendmap::role::owner && reader.role() == tendmap::role::reader);
    const auto status = client.status();
    CHECK(status.nodes == 3 && status.healthy && std::string(status.cluster_name) == "lab");
    CHECK(reader.status_json().find("\"cluster_name\":\"lab\"") != std::string::npos);
    CHECK(client.nodes().size() == 3 && reader.nodes().size() == 3);
    CHECK(client.next_event());
    while (client.next_event()) {
    }
    client.request_tend();
    client.keep();
    client.set_tend_interval(std::chrono::milliseconds(200));
    client.set_preferred_racks({10, 20});
    fails(TENDMAP_ERROR_ARGUMENT, "negative",
          [&] { client.set_tend_interval(std::chrono::milliseconds(-1)); });
    fails(TENDMAP_ERROR_CONFIG, "", [&] { client.set_password("secret"); });
    fails(TENDMAP_ERROR_CONFIG, "shm_kye", [&] { tendmap::config().set("shm_kye", "1"); });
    fails(TENDMAP_ERROR_SEGMENT, "",
          [&] { tendmap::reader other(tendmap::config().set("shm_directory", "/nonexistent")); });

    keys(client);
    states(client);
    changes(client, reader);

    tendmap::client moved(std::move(client));
    CHECK(moved.status().nodes == 3);
    all_closed(client);
    auto descriptor = moved.changes();
    tendmap::router<> router(moved);
    const auto test = router.name_space("test");
    moved.close();
    fails(TENDMAP_ERROR_CLOSED, "closed", [&] { descriptor.take(); });
    all_closed(moved);
    moved.close();
    // A router reads on until it is destroyed.
    const auto route = router.find(test, "users", 42);
    const auto descriptor_of = std::move(descriptor);
    const auto router_of = std::move(router);
    closed([&] { descriptor.take(); });
    closed([&] { (void)descriptor.fd(); });
    closed([&] { (void)router.name_space("test"); });
    closed([&] { (void)router.find(test, "users", 42); });
    closed([&] { (void)router.find(test, "users", "alice"); });
    closed([&] { (void)router.find(test, "users", 4.2); });
    closed([&] { (void)router.find(test, "users", tendmap::bytes{"a", 1}); });
    closed([&] { (void)router.find(test, tendmap::digest{}); });
    closed([&] { (void)router.find(test, tendmap::partition{7}); });
    closed([&] { (void)router.retry(test, route); });
    closed([&] { (void)router.node(route.node()); });
    std::vector<std::uint16_t> nodes;
    closed([&] { router.find_all(test, "users", std::vector<std::int64_t>{1}, nodes); });
    closed([&] { router.find_all(test, "users", std::vector<std::string_view>{"a"}, nodes); });
    closed([&] { router.find_all(test, std::vector<tendmap::digest>(1), nodes); });
    tendmap::config gone;
    const auto config_of = std::move(gone);
    closed([&] { gone.set("shm_key", "1"); });
    closed([&] { tendmap::client other(gone); });
    closed([&] { tendmap::reader other(gone); });
    std::cout << "ok" << std::endl;
}
// NOLINTEND(bugprone-use-after-move)
