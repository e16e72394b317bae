// tendmap for C++17 and later: the classes of tendmap.h, which own their handles and
// throw errors. Header only; link with libtendmap.
//
// Thread safety, forking and the meaning of every call are those of the function in
// tendmap.h that a member names. Objects can be moved, not copied. A call with an object
// that was closed or moved from throws TENDMAP_ERROR_CLOSED.

#ifndef TENDMAP_HPP
#define TENDMAP_HPP

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tendmap.h>

namespace tendmap {

/// An error of the library: its text says what was found, what was wanted and what to do.
class error : public std::runtime_error {
public:
    error(int code, const std::string &text) : std::runtime_error(text), code_(code) {}

    /// The kind: a tendmap_error.
    int code() const noexcept { return code_; }
    /// Its name: "TENDMAP_ERROR_CLOSED" and so on.
    const char *name() const noexcept { return tendmap_error_name(code_); }

private:
    int code_;
};

namespace detail {

[[noreturn]] inline void raise() { throw error(tendmap_last_error_code(), tendmap_last_error()); }

inline void check(int code) {
    if (code != TENDMAP_OK)
        raise();
}

// The error of a call with `used`, the handle of an object.
[[noreturn]] inline void raise(const void *used) {
    if (used == nullptr)
        throw error(TENDMAP_ERROR_CLOSED, "the object is closed or was moved from");
    raise();
}

// As check(), of a call with a handle. The handle is looked at only if the call failed.
template <typename Handle> void check(int code, const Handle &used) {
    if (code != TENDMAP_OK)
        raise(used.get());
}

template <typename T> T *check(T *made) {
    if (made == nullptr)
        raise();
    return made;
}

template <typename T> T *check(T *made, const void *used) {
    if (made == nullptr)
        raise(used);
    return made;
}

[[noreturn]] inline void invalid(const std::string &text) {
    throw error(TENDMAP_ERROR_ARGUMENT, text);
}

struct close_client {
    void operator()(tendmap_client *client) const noexcept { tendmap_close(client); }
};
struct free_config {
    void operator()(tendmap_config *config) const noexcept { tendmap_config_free(config); }
};
struct free_changes {
    void operator()(tendmap_changes *changes) const noexcept { tendmap_changes_free(changes); }
};
struct free_router {
    void operator()(tendmap_router *router) const noexcept { tendmap_router_free(router); }
};
struct free_text {
    void operator()(char *text) const noexcept { tendmap_string_free(text); }
};
using text = std::unique_ptr<char, free_text>;

template <typename T> constexpr bool is_integer_key =
    std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> &&
    !std::is_same_v<T, wchar_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>;

} // namespace detail

/// A text that C gets: without a zero byte before its end. `nullptr` is no text, as for
/// a record of no set.
class c_text {
public:
    c_text(std::nullptr_t) noexcept {}
    c_text(const char *text) noexcept : text_(text) {}
    c_text(const std::string &text) : text_(text.c_str()) {
        if (text.find('\0') != std::string::npos)
            detail::invalid("a text contains a zero byte; wanted one without");
    }

    const char *get() const noexcept { return text_; }

private:
    const char *text_ = nullptr;
};

/// A key of raw bytes. (Not the same key as a text of those bytes.)
struct bytes {
    const void *data;
    std::size_t size;
};

/// A digest of 20 bytes.
using digest = std::array<std::uint8_t, 20>;

/// A partition, by its number.
struct partition {
    std::uint32_t number;
};

/// How a command chooses among the replicas of its partition: see tendmap_policy.
enum class policy : std::uint32_t {
    master = TENDMAP_POLICY_MASTER,
    sequence = TENDMAP_POLICY_SEQUENCE,
    any = TENDMAP_POLICY_ANY,
    random = TENDMAP_POLICY_RANDOM,
    prefer_rack = TENDMAP_POLICY_PREFER_RACK,
};

/// A process's role in its segment: see tendmap_role.
enum class role : int {
    owner = TENDMAP_ROLE_OWNER,
    standby = TENDMAP_ROLE_STANDBY,
    follower = TENDMAP_ROLE_FOLLOWER,
    closed = TENDMAP_ROLE_CLOSED,
    reader = TENDMAP_ROLE_READER,
};

/// A namespace, resolved once for many routes of one router.
struct name_space {
    std::uint64_t number;
};

/// The digest of a key of `set` (`nullptr` = of no set): tendmap_digest_integer().
inline digest digest_of(c_text set, std::int64_t key) {
    std::uint8_t out[20];
    detail::check(tendmap_digest_integer(set.get(), key, &out));
    digest found;
    std::copy(out, out + 20, found.begin());
    return found;
}

/// The digest of a text key: tendmap_digest_string().
inline digest digest_of(c_text set, std::string_view key) {
    std::uint8_t out[20];
    detail::check(tendmap_digest_string(set.get(), key.data(), key.size(), &out));
    digest found;
    std::copy(out, out + 20, found.begin());
    return found;
}

/// Settings under construction: tendmap_config_set() lists them.
class config {
public:
    /// The defaults with these hosts, NAME:PORT separated by commas; without hosts for
    /// a reader.
    explicit config(c_text hosts = nullptr)
        : handle_(detail::check(tendmap_config_new(hosts.get()))) {}

    /// Sets one setting. Throws if there is none of that name, or the value is invalid;
    /// then nothing has changed.
    config &set(c_text name, c_text value) & {
        detail::check(tendmap_config_set(handle_.get(), name.get(), value.get()), handle_);
        return *this;
    }
    config &&set(c_text name, c_text value) && { return std::move(set(name, value)); }

    const tendmap_config *get() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<tendmap_config, detail::free_config> handle_;
};

/// A descriptor that becomes readable when the map changes: tendmap_changes_new().
/// Remove it from the event loop before this is destroyed.
class changes {
public:
    explicit changes(const tendmap_client *client)
        : handle_(detail::check(tendmap_changes_new(client), client)) {}

    /// The descriptor, for poll(), epoll and event loops. Never read or close it.
    int fd() const {
        const int found = tendmap_changes_fd(handle_.get());
        if (found < 0)
            detail::raise(handle_.get());
        return found;
    }

    /// Makes it unreadable until the next change; the live sequence.
    std::uint64_t take() {
        std::uint64_t sequence = 0;
        detail::check(tendmap_changes_take(handle_.get(), &sequence), handle_);
        return sequence;
    }

private:
    std::unique_ptr<tendmap_changes, detail::free_changes> handle_;
};

/// What a client and a reader have in common. All threads may use one object at once.
class source {
public:
    /// This process's role; a reader has `role::reader`.
    tendmap::role role() const {
        const int found = tendmap_client_role(handle_.get());
        if (found < 0)
            detail::raise(handle_.get());
        return static_cast<tendmap::role>(found);
    }

    /// The state of the segment and its owner.
    tendmap_status status() const {
        tendmap_status found{};
        found.size = sizeof found;
        detail::check(tendmap_client_status(handle_.get(), &found), handle_);
        return found;
    }

    /// All details of the state, as a JSON object.
    std::string status_json() const {
        char *found = detail::check(tendmap_client_status_json(handle_.get()), handle_.get());
        return detail::text(found).get();
    }

    /// The cluster's nodes.
    std::vector<tendmap_node> nodes() const {
        std::vector<tendmap_node> found;
        std::size_t count = 0;
        detail::check(tendmap_client_nodes(handle_.get(), nullptr, 0, &count), handle_);
        // Others may join between the calls.
        do {
            found.resize(count);
            detail::check(
                tendmap_client_nodes(handle_.get(), found.data(), found.size(), &count), handle_);
        } while (count > found.size());
        found.resize(count);
        return found;
    }

    /// Sleeps until a publication other than `sequence` is live; the live sequence.
    /// After `timeout` it is `sequence` itself. Without one it waits without limit.
    std::uint64_t wait_for_change(
        std::uint64_t sequence,
        std::optional<std::chrono::milliseconds> timeout = std::nullopt) const {
        const std::uint64_t ms = !timeout              ? UINT64_MAX
                                 : timeout->count() < 0 ? 0
                                                        : static_cast<std::uint64_t>(timeout->count());
        std::uint64_t now = 0;
        detail::check(tendmap_wait_for_change(handle_.get(), sequence, ms, &now), handle_);
        return now;
    }

    /// A descriptor for event loops.
    tendmap::changes changes() const { return tendmap::changes(handle_.get()); }

    /// Changes the racks that `policy::prefer_rack` prefers, the best first.
    void set_preferred_racks(const std::vector<std::int32_t> &racks) {
        detail::check(
            tendmap_client_set_preferred_racks(handle_.get(), racks.data(), racks.size()),
            handle_);
    }

    /// Closes it; nothing happens if it is closed. The destructor does the same, but can't
    /// report an error.
    void close() { detail::check(tendmap_close(handle_.release())); }

    const tendmap_client *get() const noexcept { return handle_.get(); }

protected:
    explicit source(tendmap_client *handle) noexcept : handle_(handle) {}

    std::unique_ptr<tendmap_client, detail::close_client> handle_;
};

/// A connection to a cluster's map, which may become its owner: tendmap_connect().
class client : public source {
public:
    explicit client(const config &settings)
        : source(detail::check(tendmap_connect(settings.get()), settings.get())) {}

    /// Asks the owner, whichever process that is, to tend soon.
    void request_tend() { detail::check(tendmap_client_request_tend(get()), handle_); }

    /// The oldest event that was not returned yet, as JSON; none if there is none.
    std::optional<std::string> next_event() {
        char *found = nullptr;
        detail::check(tendmap_client_next_event(get(), &found), handle_);
        const detail::text owned(found);
        return owned ? std::optional<std::string>(owned.get()) : std::nullopt;
    }

    /// Keeps this process attached until it ends: tendmap_keep().
    void keep() { detail::check(tendmap_keep(get()), handle_); }

    /// Changes how often this process tends as owner.
    void set_tend_interval(std::chrono::milliseconds interval) {
        if (interval.count() < 0)
            detail::invalid("the tend interval is negative; wanted at least 50 ms");
        detail::check(tendmap_client_set_tend_interval(
                          get(), static_cast<std::uint64_t>(interval.count())),
                      handle_);
    }

    /// Changes the password that the next login uses.
    void set_password(c_text password) {
        detail::check(tendmap_client_set_password(get(), password.get()), handle_);
    }
};

/// A reader of a map, without a thread or the network, with permission to read alone:
/// tendmap_reader_open().
class reader : public source {
public:
    explicit reader(const config &settings)
        : source(detail::check(tendmap_reader_open(settings.get()), settings.get())) {}
};

/// Routes keys to nodes, for the thread that made it. `State` is what the program keeps
/// for each node, such as a connection pool; it is destroyed when the node has left or
/// has changed. Its destructor must not throw, and must not use the router.
template <typename State = void> class router {
public:
    /// The route of a key.
    class route {
    public:
        /// The node's index.
        std::uint16_t node() const noexcept { return route_.node; }
        /// The number of the replica; 0 = the master.
        std::uint16_t replica() const noexcept { return route_.replica; }
        std::uint32_t partition() const noexcept { return route_.partition; }
        /// The publication that it was read from.
        std::uint64_t sequence() const noexcept { return route_.sequence; }
        /// Identifies the node together with its index.
        std::uint32_t incarnation() const noexcept { return route_.incarnation; }
        /// The node's state; `nullptr` = none was set. Valid until the router's next call.
        State *state() const noexcept { return static_cast<State *>(route_.state); }

    private:
        friend class router;
        tendmap_route route_{};
    };

    explicit router(const source &from)
        : handle_(detail::check(tendmap_router_new(from.get(), free_state()), from.get())) {}

    /// Resolves a namespace once. Throws if the cluster has none of that name.
    tendmap::name_space name_space(c_text name) {
        tendmap::name_space found{};
        detail::check(tendmap_router_namespace(handle_.get(), name.get(), &found.number), handle_);
        return found;
    }

    /// Routes an integer key of `set` (`nullptr` = of no set). Throws for a number that
    /// does not fit in 64 bits with a sign.
    template <typename Key, std::enable_if_t<detail::is_integer_key<Key>, int> = 0>
    route find(tendmap::name_space in, c_text set, Key key, policy how = policy::sequence) {
        if constexpr (std::is_unsigned_v<Key> && sizeof(Key) >= sizeof(std::int64_t)) {
            if (key > static_cast<Key>(std::numeric_limits<std::int64_t>::max()))
                detail::invalid("the key " + std::to_string(key) +
                                " is out of range; wanted at most 2^63 - 1");
        }
        route found;
        detail::check(tendmap_route_integer(handle_.get(), in.number, set.get(),
                                            static_cast<std::int64_t>(key), number(how),
                                            &found.route_),
                      handle_);
        return found;
    }

    /// Routes a text key of UTF-8.
    route find(tendmap::name_space in, c_text set, std::string_view key,
               policy how = policy::sequence) {
        route found;
        detail::check(tendmap_route_string(handle_.get(), in.number, set.get(), key.data(),
                                           key.size(), number(how), &found.route_),
                      handle_);
        return found;
    }
    route find(tendmap::name_space in, c_text set, const char *key,
               policy how = policy::sequence) {
        if (key == nullptr)
            detail::invalid("the key is null; wanted a text");
        return find(in, set, std::string_view(key), how);
    }

    /// Routes a floating point key, by its bits.
    route find(tendmap::name_space in, c_text set, double key, policy how = policy::sequence) {
        route found;
        detail::check(tendmap_route_double(handle_.get(), in.number, set.get(), key, number(how),
                                           &found.route_),
                      handle_);
        return found;
    }

    /// Routes a key of raw bytes.
    route find(tendmap::name_space in, c_text set, bytes key, policy how = policy::sequence) {
        route found;
        detail::check(tendmap_route_bytes(handle_.get(), in.number, set.get(), key.data, key.size,
                                          number(how), &found.route_),
                      handle_);
        return found;
    }

    /// A truth value is no key.
    route find(tendmap::name_space, c_text, bool, policy = policy::sequence) = delete;
    route find(tendmap::name_space, c_text, char, policy = policy::sequence) = delete;
    route find(tendmap::name_space, c_text, std::nullptr_t, policy = policy::sequence) = delete;

    /// Routes a digest.
    route find(tendmap::name_space in, const digest &key, policy how = policy::sequence) {
        route found;
        detail::check(tendmap_route_digest(handle_.get(), in.number, key.data(), number(how),
                                           &found.route_),
                      handle_);
        return found;
    }

    /// Routes a partition.
    route find(tendmap::name_space in, partition which, policy how = policy::sequence) {
        route found;
        detail::check(tendmap_route_partition(handle_.get(), in.number, which.number, number(how),
                                              &found.route_),
                      handle_);
        return found;
    }

    /// The next attempt after the node of `failed` has failed a command.
    route retry(tendmap::name_space in, route failed, policy how = policy::sequence) {
        detail::check(
            tendmap_route_retry(handle_.get(), in.number, number(how), &failed.route_), handle_);
        return failed;
    }

    /// Routes integer keys, all in one publication: the index of each key's node, or
    /// TENDMAP_NO_NODE. `nodes` is resized; its memory is used again. The publication.
    std::uint64_t find_all(tendmap::name_space in, c_text set, const std::int64_t *keys,
                           std::size_t count, std::vector<std::uint16_t> &nodes,
                           policy how = policy::sequence) {
        nodes.resize(count);
        std::uint64_t sequence = 0;
        detail::check(tendmap_route_batch_integers(handle_.get(), in.number, set.get(), keys, count,
                                                   number(how), nodes.data(), &sequence),
                      handle_);
        return sequence;
    }
    std::uint64_t find_all(tendmap::name_space in, c_text set,
                           const std::vector<std::int64_t> &keys,
                           std::vector<std::uint16_t> &nodes, policy how = policy::sequence) {
        return find_all(in, set, keys.data(), keys.size(), nodes, how);
    }

    /// As above, for text keys.
    std::uint64_t find_all(tendmap::name_space in, c_text set,
                           const std::vector<std::string_view> &keys,
                           std::vector<std::uint16_t> &nodes, policy how = policy::sequence) {
        texts_.clear();
        lengths_.clear();
        for (const std::string_view key : keys) {
            texts_.push_back(key.data() == nullptr ? "" : key.data());
            lengths_.push_back(key.size());
        }
        nodes.resize(keys.size());
        std::uint64_t sequence = 0;
        detail::check(tendmap_route_batch_strings(handle_.get(), in.number, set.get(),
                                                  texts_.data(), lengths_.data(), keys.size(),
                                                  number(how), nodes.data(), &sequence),
                      handle_);
        return sequence;
    }

    /// As above, for digests.
    std::uint64_t find_all(tendmap::name_space in, const std::vector<digest> &keys,
                           std::vector<std::uint16_t> &nodes, policy how = policy::sequence) {
        static_assert(sizeof(digest) == 20, "digests follow each other without gaps");
        nodes.resize(keys.size());
        std::uint64_t sequence = 0;
        const auto *first = reinterpret_cast<const std::uint8_t(*)[20]>(keys.data());
        detail::check(tendmap_route_batch_digests(handle_.get(), in.number, first, keys.size(),
                                                  number(how), nodes.data(), &sequence),
                      handle_);
        return sequence;
    }

    /// The node of an index that a route contained.
    tendmap_node node(std::uint16_t index) const {
        tendmap_node found{};
        detail::check(tendmap_router_node(handle_.get(), index, &found), handle_);
        return found;
    }

    /// Keeps `state` for a node: routes to it contain it from now on, while the node and
    /// its address are unchanged. An earlier state is destroyed.
    template <typename S = State, std::enable_if_t<!std::is_void_v<S>, int> = 0>
    S &set_state(std::uint16_t index, std::unique_ptr<S> state) {
        detail::check(tendmap_router_set_state(handle_.get(), index, state.get()), handle_);
        return *state.release();
    }

private:
    static constexpr std::uint32_t number(policy how) { return static_cast<std::uint32_t>(how); }

    static tendmap_state_free free_state() {
        if constexpr (std::is_void_v<State>)
            return nullptr;
        else
            return [](void *state) { delete static_cast<State *>(state); };
    }

    std::unique_ptr<tendmap_router, detail::free_router> handle_;
    std::vector<const char *> texts_;
    std::vector<std::size_t> lengths_;
};

} // namespace tendmap

#endif // TENDMAP_HPP
