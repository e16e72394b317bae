/* tendmap: routes keys to the nodes of a partitioned database cluster, from shared memory
 * that one process of the host keeps up to date. For Linux on 64-bit machines.
 *
 * Functions that return int return TENDMAP_OK (0) or a tendmap_error, unless their text
 * says otherwise; those that return a pointer return NULL on error.
 * tendmap_last_error_code() and tendmap_last_error() return the last error of each thread.
 * Invalid arguments (NULL, text that is not UTF-8, a closed handle, a handle of another
 * kind, a router of another thread) cause an error and change nothing. Names and texts end
 * with a zero byte, except keys whose length is given. Free memory of the library with the
 * function that the documentation names, never with free().
 *
 * A client may be used by all threads at once, a router by the thread that created it. Both
 * stay valid in a forked child. No function may be called from a signal handler, nor from a
 * child that was created with vfork(). A calling thread needs a stack of 32 KiB or more.
 *
 * Generated from the Rust source by cbindgen; edit that, not this.
 */

#ifndef TENDMAP_H
#define TENDMAP_H

#include <stddef.h>
#include <stdint.h>

// The index that means "no node".
#define TENDMAP_NO_NODE 65535

// Success. Every other returned code is a `tendmap_error`.
#define TENDMAP_OK 0

// Room for a node's name and a zero byte.
#define TENDMAP_NODE_NAME_SIZE 32

// Room for an address and a zero byte.
#define TENDMAP_ADDRESS_SIZE 64

// Room for the name on a certificate and a zero byte.
#define TENDMAP_TLS_NAME_SIZE 256

// Room for a build and a zero byte.
#define TENDMAP_BUILD_SIZE 32

// Marks an unknown age or interval.
#define TENDMAP_UNKNOWN UINT64_MAX

// Room for the name of a cluster and a zero byte.
#define TENDMAP_CLUSTER_NAME_SIZE 72

// The header's major version; it is raised when programs must change.
#define TENDMAP_VERSION_MAJOR 0

// The minor version; it is raised when something was added.
#define TENDMAP_VERSION_MINOR 1

// The patch version; it is raised when something was repaired.
#define TENDMAP_VERSION_PATCH 0

// The kind of an error. The numbers are part of the C ABI: a number never changes
// its meaning.
enum tendmap_error
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // An invalid argument: null, not UTF-8, or out of range.
    TENDMAP_ERROR_ARGUMENT = 1,
    // The handle is closed.
    TENDMAP_ERROR_CLOSED = 2,
    // The handle belongs to another thread.
    TENDMAP_ERROR_WRONG_THREAD = 3,
    // A defect in tendmap, caught before it could do harm.
    TENDMAP_ERROR_INTERNAL = 4,
    // The handle belongs to the process from which this one was forked.
    TENDMAP_ERROR_FORKED = 5,
    // The call needs a client; the handle is a reader.
    TENDMAP_ERROR_READ_ONLY = 6,
    // A setting is unknown or out of its range.
    TENDMAP_ERROR_CONFIG = 10,
    // Connecting failed for a reason without a kind of its own.
    TENDMAP_ERROR_CONNECT = 11,
    // The segment's files can't be created, attached or read.
    TENDMAP_ERROR_SEGMENT = 12,
    // The segment belongs to another cluster.
    TENDMAP_ERROR_OTHER_CLUSTER = 13,
    // This process is already connected under the key, with other hosts.
    TENDMAP_ERROR_OTHER_HOSTS = 14,
    // The cluster can't be tended: no server gives a valid answer.
    TENDMAP_ERROR_TEND = 15,
    // The owner did not publish a map in time.
    TENDMAP_ERROR_NO_MAP_YET = 16,
    // A thread can't be started.
    TENDMAP_ERROR_THREAD = 17,
    // No descriptor can be opened, or the program has closed it.
    TENDMAP_ERROR_DESCRIPTOR = 18,
    // Routing failed for a reason without a kind of its own.
    TENDMAP_ERROR_ROUTE = 20,
    // No map has been published yet.
    TENDMAP_ERROR_NO_MAP = 21,
    // The cluster has no nodes.
    TENDMAP_ERROR_CLUSTER_EMPTY = 22,
    // The cluster has no namespace of that name.
    TENDMAP_ERROR_NAMESPACE_UNKNOWN = 23,
    // No node of the partition may be used.
    TENDMAP_ERROR_NO_NODE = 24,
    // A partition number that is out of range.
    TENDMAP_ERROR_OUT_OF_RANGE = 25,
    // The namespace handle belongs to another router.
    TENDMAP_ERROR_FOREIGN_HANDLE = 26,
    // The map in the segment is damaged.
    TENDMAP_ERROR_MAP = 27,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tendmap_error tendmap_error;
#else
typedef int32_t tendmap_error;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A process's role in its segment.
enum tendmap_role
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The process tends the cluster and publishes the map.
    TENDMAP_ROLE_OWNER = 0,
    // It reads the map, and is the next to become owner.
    TENDMAP_ROLE_STANDBY = 1,
    // It reads the map, and may become owner.
    TENDMAP_ROLE_FOLLOWER = 2,
    // It has closed its connection.
    TENDMAP_ROLE_CLOSED = 3,
    // It only reads: the handle is that of tendmap_reader_open().
    TENDMAP_ROLE_READER = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tendmap_role tendmap_role;
#else
typedef int32_t tendmap_role;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a command chooses among the replicas of its partition.
enum tendmap_policy
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Only the master.
    TENDMAP_POLICY_MASTER = 0,
    // Replicas in their order, from the master on; a retry goes to the next.
    TENDMAP_POLICY_SEQUENCE = 1,
    // As SEQUENCE, starting one replica further with each command.
    TENDMAP_POLICY_ANY = 2,
    // As SEQUENCE, starting at a random replica.
    TENDMAP_POLICY_RANDOM = 3,
    // A node in the first of the preferred racks that has one, then in the
    // second, and so on, then any; see tendmap_client_set_preferred_racks(). A
    // retry goes to the node that has failed only if there is no other.
    TENDMAP_POLICY_PREFER_RACK = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tendmap_policy tendmap_policy;
#else
typedef uint32_t tendmap_policy;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A descriptor that becomes readable when the map changes.
typedef struct tendmap_changes tendmap_changes;

// A process's connection to a cluster's map, or a reader of it.
typedef struct tendmap_client tendmap_client;

// Settings of a client, under construction.
typedef struct tendmap_config tendmap_config;

// Routes keys to nodes, for one thread.
typedef struct tendmap_router tendmap_router;

// The state of a segment and its owner. tendmap_client_status_json() gives
// more details.
typedef struct tendmap_status {
    // Set by the caller before the call: sizeof(tendmap_status). Later
    // versions add fields at the end, and fill no more than the caller has.
    size_t size;
    // The segment's generation under the key.
    uint64_t generation;
    // The last publication; 0 = none yet.
    uint64_t sequence;
    // Milliseconds since the owner's last heartbeat, or TENDMAP_UNKNOWN.
    uint64_t heartbeat_age_ms;
    // Milliseconds since the last successful tend, or TENDMAP_UNKNOWN.
    uint64_t tended_age_ms;
    // The owner's tend interval in milliseconds, or TENDMAP_UNKNOWN.
    uint64_t tend_interval_ms;
    // Publications since the segment was created.
    uint64_t publications;
    // Takeovers since the segment was created.
    uint64_t takeovers;
    // Passes that succeeded.
    uint64_t tends;
    // Passes that failed.
    uint64_t tend_errors;
    // Nodes and namespaces that did not fit in the map in the last pass.
    uint64_t refused_nodes;
    // Partitions without a master, in all namespaces.
    uint64_t holes;
    // The segment's key.
    uint32_t key;
    // The owner's term.
    uint32_t term;
    // The owner's pid in its own pid namespace; 0 = not known.
    uint32_t owner_pid;
    // Nodes in the map.
    uint32_t nodes;
    // Nodes that the segment has room for.
    uint32_t max_nodes;
    // Namespaces in the map.
    uint32_t namespaces;
    // Namespaces that it has room for.
    uint32_t max_namespaces;
    // Replicas of a partition that it has room for.
    uint32_t max_replicas;
    // Attached processes; -1 if they can't be counted.
    int32_t attached;
    // 1 if every partition has a master and the map can be kept current, else 0:
    // tendmap_client_status_json() gives the reason.
    uint8_t healthy;
    // 1 if there is a live owner.
    uint8_t owner_alive;
    // 1 if the owner can't reach the cluster and is giving up ownership.
    uint8_t abdicated;
    // 1 if no publication will follow in this segment.
    uint8_t retired;
    // The cluster's name; empty if it has none.
    char cluster_name[TENDMAP_CLUSTER_NAME_SIZE];
    // Nodes that did not answer, or sent a bad reply, in the last pass.
    uint64_t failing_nodes;
    // The number of problems that tendmap_client_status_json() lists.
    uint32_t problems;
    // The number of remarks that it lists.
    uint32_t remarks;
} tendmap_status;

// A node of the cluster.
typedef struct tendmap_node {
    // The node's index, as in a route. Another node may have it later, under
    // another incarnation.
    uint16_t index;
    // The port.
    uint16_t port;
    // How many times a node got this index.
    uint32_t incarnation;
    // The node id.
    char name[TENDMAP_NODE_NAME_SIZE];
    // The IP address alone, for getaddrinfo() and the like; a link-local one
    // with its scope: fe80::1%2.
    char host[TENDMAP_ADDRESS_SIZE];
    // Address and port: 10.0.0.1:3000, [::1]:3000.
    char address[TENDMAP_ADDRESS_SIZE];
    // The name on its TLS certificate; empty if it has none.
    char tls_name[TENDMAP_TLS_NAME_SIZE];
    // The build of its server: 8.1.2.0; empty if it is not known.
    char build[TENDMAP_BUILD_SIZE];
} tendmap_node;

// The route of a key.
typedef struct tendmap_route {
    // The publication that it was read from.
    uint64_t sequence;
    // The node's state, see tendmap_router_set_state(); NULL = none. It is valid
    // until the router's next call.
    void *state;
    // The partition.
    uint32_t partition;
    // Together with `node` it identifies the node. Another number means another
    // node, or the same node after its return.
    uint32_t incarnation;
    // The node's index, for tendmap_router_node().
    uint16_t node;
    // The replica's number; 0 = the master.
    uint16_t replica;
} tendmap_route;

// Frees the state of a node. It is called when the node has left, has another
// address or was replaced by another node with its name, when the router is
// freed, and in a forked child for the states of the parent: there it may only
// close(2) a connection. It runs during a call with the router, and must not use
// that router; it must return, not longjmp() or throw.
typedef void (*tendmap_state_free)(void *state);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Routes `count` integer keys of `set` (NULL = of no set), all in one
// publication: writes to nodes[i] the index of the node of keys[i], or
// TENDMAP_NO_NODE if no node of its partition may be used. `sequence` (may be
// NULL) gets the publication. Several digests are computed at once. The call
// allocates only for more keys than in any earlier batch of this router.
//
// TENDMAP_ERROR_ARGUMENT if there is not enough memory for the keys, or there
// are 2^32 or more. On error the content of `nodes` is undefined.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_batch_integers(struct tendmap_router *router,
                                 uint64_t name_space,
                                 const char *set,
                                 const int64_t *keys,
                                 size_t count,
                                 uint32_t policy,
                                 uint16_t *nodes,
                                 uint64_t *sequence);

// As tendmap_route_batch_integers(), for text keys of UTF-8. `lengths` holds
// the length of each in bytes; NULL if each ends with a zero byte.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_batch_strings(struct tendmap_router *router,
                                uint64_t name_space,
                                const char *set,
                                const char *const *keys,
                                const size_t *lengths,
                                size_t count,
                                uint32_t policy,
                                uint16_t *nodes,
                                uint64_t *sequence);

// As tendmap_route_batch_integers(), for digests: `count` times 20 bytes, one
// after the other.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_batch_digests(struct tendmap_router *router,
                                uint64_t name_space,
                                const uint8_t (*digests)[20],
                                size_t count,
                                uint32_t policy,
                                uint16_t *nodes,
                                uint64_t *sequence);

// A descriptor for event loops (poll, epoll, libuv's uv_poll_t, libevent's
// event_new()): it becomes readable at each publication, and when the client or
// reader is closed. Any number of them for one client; they are independent. NULL on
// error: TENDMAP_ERROR_DESCRIPTOR or TENDMAP_ERROR_THREAD if a limit is reached.
//
//     tendmap_changes *changes = tendmap_changes_new(client);
//     int fd = tendmap_changes_fd(changes);
//     ... add fd to the loop, for reading; when it is readable:
//     uint64_t sequence;
//     if (tendmap_changes_take(changes, &sequence) == TENDMAP_OK)
//         ... the map has changed
//     ... at the end: remove fd from the loop, then
//     tendmap_changes_free(changes);
//
// The first one of a client or reader starts a thread that only waits for
// publications; the last one to be freed ends it.
//
// Threads: any. Fork: a child makes its own; those that it has inherited return
// TENDMAP_ERROR_FORKED, and change nothing of the parent's.
struct tendmap_changes *tendmap_changes_new(const struct tendmap_client *client);

// The descriptor, always the same one; -1 on error. It belongs to `changes`: do not
// read from it and do not close it. It is closed by exec.
//
// Threads: any. Fork: in a child the inherited descriptor is not to be used.
int tendmap_changes_fd(const struct tendmap_changes *changes);

// Makes the descriptor unreadable until the next change, and writes the live
// sequence to `sequence` (may be NULL). Does not wait, and may be called at any time.
// No change is lost: one that happens after the call began either is in its result,
// or makes the descriptor readable again, level- or edge-triggered. The sequence may
// be the one that was seen last.
//
// TENDMAP_ERROR_CLOSED if the client or reader is closed; the descriptor does not
// become readable again then.
//
// Threads: any. Fork: TENDMAP_ERROR_FORKED in a child.
int tendmap_changes_take(const struct tendmap_changes *changes, uint64_t *sequence);

// Frees it and closes the descriptor, which must have been removed from the event
// loop. NULL is allowed. The client may be closed before or after.
//
// Threads: any. Fork: a child may free inherited ones; its parent's stay.
int tendmap_changes_free(struct tendmap_changes *changes);

// Connects to a cluster's map: attaches to the segment of the settings' key, or creates
// it and tends. Returns as soon as there is a map to route from: with a live owner
// that is at once, without contacting a server. NULL on error; then nothing is
// left behind. The settings are copied.
//
// Connections of one process under one key share one attachment and one
// thread. Closing the last of them hands the ownership over.
//
// Threads: any; the client may be used by all threads at once. Fork: a child
// may continue to use it. The first call with the client in a child starts the
// child's own thread, which follows and may become owner; the parent's state is
// not touched. With use_shm = false that call waits for the child's first map.
struct tendmap_client *tendmap_connect(const struct tendmap_config *config);

// Attaches as a reader to the segment of the settings' key, whether it has an owner
// or not: without a thread, without the network, and with permission to read alone.
// Of the settings it uses shm_key, shm_backend, shm_directory, shm_owner,
// shm_allow_group_write, preferred_racks and cluster_name; hosts are not needed. NULL
// on error: TENDMAP_ERROR_SEGMENT if there is no segment yet.
//
// The result is a client that only reads. Every function for a client accepts it;
// those that need a thread or a login (tendmap_keep(), tendmap_client_next_event(),
// tendmap_client_set_tend_interval() and tendmap_client_set_password()) return
// TENDMAP_ERROR_READ_ONLY. It follows the segment's successors, sees later
// publications, and is closed with tendmap_close().
//
// Threads: any; the reader may be used by all threads at once. Fork: a child may
// continue to use it; nothing is started there.
struct tendmap_client *tendmap_reader_open(const struct tendmap_config *config);

// Closes the client; its routers keep reading until they are freed. The last client
// of the process under its key hands the ownership over, if this process has it, and
// removes the segment if no other process is attached. NULL is allowed; a client
// that is already closed gives TENDMAP_ERROR_CLOSED.
//
// A closed handle is recognised until 256 others have been closed after it.
//
// Threads: any. The client has closed when this returns, whatever other threads do
// with it. Their calls in progress end as usual; a wait for a change ends at once
// with TENDMAP_ERROR_CLOSED. Fork: a child closes only its own part; its parent's
// part and segment are not changed.
int tendmap_close(struct tendmap_client *client);

// Keeps this process attached under the client's key until the process ends, even if
// all clients are closed. It is for hosts that create and close clients repeatedly,
// as PHP does with every request: connecting again then takes microseconds, and the
// ownership does not move from process to process.
//
// Threads: any. Fork: it applies to the calling process, not to its children.
int tendmap_keep(const struct tendmap_client *client);

// This process's current role: a tendmap_role, or -1 on error.
//
// Threads: any. Fork: in a child it starts the child's own part, see
// tendmap_connect().
int tendmap_client_role(const struct tendmap_client *client);

// The state of the segment and its owner. The caller sets status->size to
// sizeof(tendmap_status) before; at most this many bytes are written.
//
// Threads: any. Fork: as tendmap_client_role().
int tendmap_client_status(const struct tendmap_client *client,
                          struct tendmap_status *status);

// The state of the segment and its owner, as a JSON object with the fields of
// `tendmap status --json`. The caller frees it with tendmap_string_free(). NULL
// on error.
//
// Threads: any. Fork: as tendmap_client_role().
char *tendmap_client_status_json(const struct tendmap_client *client);

// The cluster's nodes: writes at most `capacity` of them to `nodes`, and their
// total number to `count`. With capacity 0, `nodes` may be NULL.
//
// Threads: any. Fork: as tendmap_client_role().
int tendmap_client_nodes(const struct tendmap_client *client,
                         struct tendmap_node *nodes,
                         size_t capacity,
                         size_t *count);

// Sleeps until a publication other than `sequence` is live, at most
// `timeout_ms` milliseconds (UINT64_MAX = without limit), and writes the live
// sequence to `now`. Every route and status contains a sequence; 0 waits for the
// first map.
//
// TENDMAP_OK after the timeout, too; `now` then equals `sequence`.
// TENDMAP_ERROR_CLOSED if the client is closed meanwhile. Signals do not end the
// wait.
//
// Threads: any, several at once. Fork: as tendmap_client_role().
int tendmap_wait_for_change(const struct tendmap_client *client,
                            uint64_t sequence,
                            uint64_t timeout_ms,
                            uint64_t *now);

// Asks the owner, whichever process that is, to tend soon: for callers that
// see connections to a node fail. The owner tends at the earliest a quarter of
// its interval after its last pass, whatever the number of requests. A request
// may be lost. The call does not wait; tendmap_wait_for_change() does.
//
// Threads: any. Fork: as tendmap_client_role().
int tendmap_client_request_tend(const struct tendmap_client *client);

// New settings: the defaults, with a shared segment (use_shm = true) and
// these hosts, one or more NAME:PORT separated by commas; NULL = no hosts, which
// is enough for tendmap_reader_open(). NULL on error.
//
// Threads: any. Fork: settings may be created before a fork and used after it.
struct tendmap_config *tendmap_config_new(const char *hosts);

// Sets the setting `name` to `value`. The defaults are in brackets; a setting without
// one is unset. A duration is a number with ms, s, m or h (500ms, 1.5s, 2m, 1h); a number
// alone means seconds.
//
//     hosts                   NAME:PORT,…: the servers to ask first; with TLS also
//                             NAME:TLS_NAME:PORT
//     cluster_name            refuse any other cluster
//     user                    the user that logs in
//     password                the user's password, kept as a secret
//     auth_mode               [INTERNAL] or EXTERNAL, EXTERNAL_INSECURE or PKI
//     tls                     [false] true: servers are reached over TLS
//     tls_cafile              the authorities' certificates, PEM; else the system's
//     tls_certfile            the client's own certificate, PEM
//     tls_keyfile             the private key of that certificate, PEM
//     tls_for_login_only      [false] true: everything else is plaintext
//     use_services_alternate  [false] true: use the servers' alternate addresses
//     ip_map                  TOLD=USED,…: hosts to use instead of those that
//                             servers advertise
//     use_shm                 [true] false: a map of this process alone
//     shm_key                 [0xA7000000] a number of 32 bits, decimal or 0x…: one
//                             for each cluster
//     shm_max_nodes           [16] nodes that a new segment has room for, 1 to 4096
//     shm_max_namespaces      [8] namespaces that a new segment has room for, 1 to
//                             4096
//     shm_max_replicas        [3] replicas that a new segment has room for, 1 to 255
//                             (it grows with the replication factor)
//     shm_node_ceiling        [4096] nodes that a segment may grow to
//     shm_namespace_ceiling   [256] namespaces that a segment may grow to
//     shm_takeover_threshold  [30s] how long a hung owner stays owner; at least
//                             twice the sum of tend_interval and connect_timeout, at
//                             most 365 days
//     shm_backend             [file] or sysv
//     shm_directory           [/dev/shm] the directory of the segments
//     shm_mode                [0600] octal mode bits of a new segment
//     shm_owner               users whose segments are trusted, too, by name or
//                             number, separated by commas
//     shm_allow_group_write   [false] true: files that their group may write (0020)
//                             are accepted; every member of the group can then
//                             truncate the file, and the kernel then kills every
//                             attached process with SIGBUS (not with sysv)
//     preferred_racks         numbers, the best first: 7,3; see
//                             TENDMAP_POLICY_PREFER_RACK
//     tend_interval           [1s] how often the owner polls, 50ms to 365 days
//     connect_timeout         [1s] how long a server may take to accept a connection
//                             or to answer
//     c_client                segments of the Aerospike C client that are kept
//                             filled, KEY:VERSION, separated by commas:
//                             0xAC000000:7.6.1 (see docs/C-CLIENT.md)
//     c_client_max_nodes      [16] nodes, as the clients' own shm_max_nodes
//     c_client_max_namespaces [8] namespaces, as the clients' own
//     c_client_mode           [0666] octal mode bits of a new one of these segments
//     c_client_on_exit        [hold] or release
//     c_client_owner          [pid] or always
//
// Whether the values fit each other is checked by tendmap_connect().
// TENDMAP_ERROR_CONFIG for an unknown name or an invalid value; then nothing has
// changed.
//
// Threads: one at a time. Fork: any process that has the settings.
int tendmap_config_set(struct tendmap_config *config,
                       const char *name,
                       const char *value);

// Frees settings; clients that were created from them are not affected. NULL is
// allowed.
//
// Threads: one at a time. Fork: any process that has the settings.
void tendmap_config_free(struct tendmap_config *config);

// The code of the calling thread's last error; TENDMAP_OK if there was none.
// A successful call does not change it.
//
// Threads: any. Fork: a child inherits the error of its thread.
int tendmap_last_error_code(void);

// The text of the calling thread's last error, in UTF-8: what was found, what was
// wanted, what to do. Empty if there was none; truncated to 1023 bytes.
//
// Each thread has one buffer for it, valid until the thread ends: the pointer
// is always the same, and the next failing call of the thread writes its text
// there.
//
// Threads: any. Fork: a child inherits the error of its thread.
const char *tendmap_last_error(void);

// The name of a code: "TENDMAP_OK", "TENDMAP_ERROR_CLOSED" and so on;
// "TENDMAP_ERROR_UNKNOWN" for a number that is none. Never NULL; valid for ever.
//
// Threads: any. Fork: any process.
const char *tendmap_error_name(int code);

// The oldest event that was not returned yet: a node that joined, left or
// fails, a takeover, a pass that fails or succeeds again. Writes a JSON object
// to `event`, which the caller frees with tendmap_string_free(), or NULL if
// there is no event. The call never waits: make it from time to time.
//
// The object has the fields of a line of `tendmap tend --json`, with the name as
// `event`, and also `level` ("debug", "info" or "warning") and `time` (seconds
// since 1970). The last 256 events are kept; if there were more, the first is
// "events_lost" with their `count`. Clients of one process under one key share
// their events: the one that connected first has them.
//
// There is no callback, because it would run on a thread of the library that an
// interpreter does not know.
//
// Threads: any. Fork: as tendmap_client_role(); a child has its own events,
// and none of its parent's.
int tendmap_client_next_event(const struct tendmap_client *client, char **event);

// Changes the racks that TENDMAP_POLICY_PREFER_RACK prefers: `count` numbers,
// the best first; 0 of them (`racks` may be NULL then) = none. All routers of
// this client use them from their next call; other clients have their own.
//
// Threads: any. Fork: as tendmap_client_role(); in a child it applies to routers
// that the child creates, an inherited one keeps its racks.
int tendmap_client_set_preferred_racks(const struct tendmap_client *client,
                                       const int32_t *racks,
                                       size_t count);

// Changes how often this process polls the cluster as owner, in milliseconds
// (at least 50, at most 365 days): from now on, or from when it becomes owner.
// All clients of the process under this key share it.
//
// TENDMAP_ERROR_CONFIG if it is too short, or too long for shm_takeover_threshold:
// other processes would consider the owner hung. The setting is then unchanged.
//
// Threads: any. Fork: as tendmap_client_role().
int tendmap_client_set_tend_interval(const struct tendmap_client *client,
                                     uint64_t interval_ms);

// Changes the password of the user that this process logs in as. It applies from
// the next login; connections are not changed. The text is copied, and the copy
// is wiped when it is no longer needed.
//
// TENDMAP_ERROR_CONFIG if the client has no user, or no server accepts such a
// password; then nothing has changed.
//
// Threads: any. Fork: as tendmap_client_role().
int tendmap_client_set_password(const struct tendmap_client *client,
                                const char *password);

// Routes an integer key of `set` (NULL = of no set) in a namespace of
// tendmap_router_namespace(), and writes the route to `out`. `policy` is a
// tendmap_policy.
//
// TENDMAP_ERROR_NO_NODE if no node of the partition may be used: try again
// after the next tend. `out` is untouched on error.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_integer(struct tendmap_router *router,
                          uint64_t name_space,
                          const char *set,
                          int64_t key,
                          uint32_t policy,
                          struct tendmap_route *out);

// As tendmap_route_integer(), for a text key of `length` bytes of UTF-8; it
// may contain any character and needs no zero byte at its end.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_string(struct tendmap_router *router,
                         uint64_t name_space,
                         const char *set,
                         const char *key,
                         size_t length,
                         uint32_t policy,
                         struct tendmap_route *out);

// As tendmap_route_integer(), for a key of `length` raw bytes. (Not the same
// key as a text of those bytes.)
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_bytes(struct tendmap_router *router,
                        uint64_t name_space,
                        const char *set,
                        const void *key,
                        size_t length,
                        uint32_t policy,
                        struct tendmap_route *out);

// As tendmap_route_integer(), for a floating point key, by its bits: 0.0 and
// -0.0 are two keys.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_double(struct tendmap_router *router,
                         uint64_t name_space,
                         const char *set,
                         double key,
                         uint32_t policy,
                         struct tendmap_route *out);

// As tendmap_route_integer(), for a digest of 20 bytes, computed here or
// elsewhere.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_digest(struct tendmap_router *router,
                         uint64_t name_space,
                         const uint8_t *digest,
                         uint32_t policy,
                         struct tendmap_route *out);

// As tendmap_route_integer(), for a partition by its number.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_partition(struct tendmap_router *router,
                            uint64_t name_space,
                            uint32_t partition,
                            uint32_t policy,
                            struct tendmap_route *out);

// The next attempt after the node of `route` has failed a command, from the
// replica after it. `route` is replaced, and unchanged on error; with
// TENDMAP_POLICY_MASTER it is the master again.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_route_retry(struct tendmap_router *router,
                        uint64_t name_space,
                        uint32_t policy,
                        struct tendmap_route *route);

// The digest of an integer key of `set` (NULL = of no set): writes 20 bytes.
//
// Threads: any. Fork: any process.
int tendmap_digest_integer(const char *set, int64_t key, uint8_t (*digest)[20]);

// As tendmap_digest_integer(), for a text key of `length` bytes of UTF-8.
//
// Threads: any. Fork: any process.
int tendmap_digest_string(const char *set,
                          const char *key,
                          size_t length,
                          uint8_t (*digest)[20]);

// A router for the calling thread. `free_state` may be NULL. NULL on error.
//
// Threads: the router belongs to the thread that created it; on any other thread
// calls return TENDMAP_ERROR_WRONG_THREAD. Fork: it stays valid in a child, for
// the thread that called fork(), and sees later publications; the states of
// nodes are freed there. It starts no thread in the child: call
// tendmap_client_role() once for that.
struct tendmap_router *tendmap_router_new(const struct tendmap_client *client,
                                          tendmap_state_free free_state);

// Frees a router and the states of its nodes. NULL is allowed.
//
// Threads: only the router's own, before that thread ends. Fork: a child frees
// inherited routers itself.
int tendmap_router_free(struct tendmap_router *router);

// Resolves a namespace once, for many routes: writes to `out` the number that
// identifies it in this router. The number stays valid if the namespace is removed
// and added again.
//
// Threads: the router's own. Fork: numbers stay valid in a child.
int tendmap_router_namespace(struct tendmap_router *router,
                             const char *name,
                             uint64_t *out);

// The node of an index that a route returned, with its name and address, as of
// the router's last call.
//
// Threads: the router's own. Fork: a child may call it.
int tendmap_router_node(struct tendmap_router *router,
                        uint16_t node,
                        struct tendmap_node *out);

// Attaches `state` (for example, a connection pool) to the node of an index
// that a route returned: routes to that node contain it from now on, while the
// node and its address are unchanged. Earlier state is freed.
//
// Threads: the router's own. Fork: the parent's states are freed in a child at
// its first call.
int tendmap_router_set_state(struct tendmap_router *router, uint16_t node, void *state);

// Frees a text that a tendmap function returned to be freed with this function. NULL
// is allowed.
//
// Threads: any. Fork: a child may free an inherited text.
void tendmap_string_free(char *text);

// The version of the loaded library, such as "0.1.0". The text is static and must
// not be freed.
//
// Threads: any. Fork: any process.
const char *tendmap_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TENDMAP_H */
