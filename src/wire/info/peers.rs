//! `peers-clear-std` and its variants: the other nodes, as one node sees them.
//!
//! One invalid entry must not affect the others. An entry that has the form of
//! a peer ends where its brackets close, whatever its fields contain; after an
//! entry without that form, parsing continues at the next entry that has it.

use super::GrammarError;
use super::bad::BadEntries;
use super::cursor::Cursor;
use crate::map::{NodeId, TlsName};
use crate::wire::Host;

/// The maximum number of hosts of one peer that are parsed.
const MAX_HOSTS: usize = 256;

/// The maximum number of bad hosts in an entry that is found after one without
/// the form of a peer.
const FEW: usize = 3;

const WHAT: &str = "peers";

/// The other nodes, as one node sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// The peers generation that this list belongs to, or a later one.
    pub generation: i32,
    /// The nodes, in the server's order; a bad server may repeat them.
    pub peers: Vec<Peer>,
    /// The number of further entries that were not kept: see
    /// [`parse_peers_within`].
    pub more: usize,
    /// Entries that could not be used. A peer with only a bad host or TLS name
    /// is still among the peers, without it.
    pub bad: BadEntries,
}

/// A peer of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The peer's node id.
    pub id: NodeId,
    /// The name in its TLS certificate.
    pub tls_name: Option<TlsName>,
    /// The hosts at which it can be reached; may be empty.
    pub hosts: Vec<Host>,
}

impl Peer {
    /// Merges another entry of the same node.
    pub(crate) fn add(&mut self, other: Peer) {
        self.tls_name = self.tls_name.or(other.tls_name);
        for host in other.hosts {
            if self.hosts.len() < MAX_HOSTS && !self.hosts.contains(&host) {
                self.hosts.push(host);
            }
        }
    }
}

/// Parses `generation,[port],[[id,[tls_name],[host,…]],…]`.
///
/// # Errors
/// [`GrammarError`] if the generation or the list around the entries can't be parsed. Entries
/// that can't be used are skipped.
pub fn parse_peers(value: &[u8]) -> Result<Peers, GrammarError> {
    parse_peers_within(value, usize::MAX, &|_| true)
}

/// Like [`parse_peers`], for a list that may be longer than needed: the first `most` entries are
/// kept, and of the others those of nodes that are `known`. The rest is only counted.
///
/// # Errors
/// As [`parse_peers`].
pub fn parse_peers_within(
    value: &[u8],
    most: usize,
    known: &dyn Fn(&NodeId) -> bool,
) -> Result<Peers, GrammarError> {
    let mut cursor = Cursor::new(WHAT, value);
    let generation = cursor.number("a generation, a signed 32-bit number")?;
    cursor.expect(b',', "a comma after the generation")?;
    let port = cursor.until(b",");
    cursor.expect(b',', "a comma after the default port")?;
    cursor.expect(b'[', "[ and a list")?;
    let mut bad = BadEntries::default();
    let default_port = match port {
        b"" => Some(Host::DEFAULT_PORT),
        port => match core::str::from_utf8(port).ok().and_then(|port| port.parse().ok()) {
            Some(0) | None => {
                bad.add(WHAT, port, "the default port is not 1 to 65535");
                None
            }
            port => port,
        },
    };
    let list = match value[cursor.at()..].strip_suffix(b"]") {
        Some(list) => list,
        None => return Err(cursor.wanted_at(value.len(), "] and the end")),
    };
    let (peers, more) = Entries { list, default_port, bad: &mut bad }.read(most, known);
    Ok(Peers { generation, peers, more, bad })
}

/// The entries between the brackets of the list.
struct Entries<'a> {
    list: &'a [u8],
    default_port: Option<u16>,
    bad: &'a mut BadEntries,
}

/// Text with the form of a peer: its start and end, and its fields.
struct Form<'a> {
    end: usize,
    id: &'a [u8],
    tls_name: &'a [u8],
    hosts: Vec<&'a [u8]>,
}

impl<'a> Entries<'a> {
    /// The peers that are kept, and the number of others.
    fn read(&mut self, most: usize, known: &dyn Fn(&NodeId) -> bool) -> (Vec<Peer>, usize) {
        let (mut peers, mut others, mut more) = (Vec::new(), 0, 0);
        // Only known nodes are always kept: their number is limited.
        let mut keep = |id: &NodeId| {
            let room = others < most;
            let keep = known(id) || room;
            others += usize::from(room);
            more += usize::from(!keep);
            keep
        };
        let mut at = 0;
        while at < self.list.len() {
            let next = match self.form(at, MAX_HOSTS) {
                Some(form) => {
                    let end = form.end;
                    let of_use = NodeId::from_bytes(form.id).map_or(true, |id| keep(&id));
                    peers.extend(of_use.then(|| self.peer(at, form)).flatten());
                    end + 1
                }
                None => {
                    let next = self.next_form(at + 1);
                    let end = next.map_or(self.list.len(), |next| next - 1);
                    let entry = &self.list[at..end];
                    // The id may be readable although the rest is not: a known
                    // node must not become unlisted because of that.
                    let id = id_of(entry).filter(|id| keep(id));
                    peers.extend(id.map(|id| Peer { id, tls_name: None, hosts: Vec::new() }));
                    self.bad.add(WHAT, entry, "it does not have the form [id,tls name,[host,...]]");
                    end + 1
                }
            };
            at = next;
        }
        if self.list.last() == Some(&b',') {
            self.bad.add(WHAT, b"", "nothing follows the last comma");
        }
        (peers, more)
    }

    /// The text with the form of a peer at this position, followed by a comma or
    /// the end, with at most `bad_hosts` bad hosts.
    fn form(&self, at: usize, mut bad_hosts: usize) -> Option<Form<'a>> {
        let mut cursor = Cursor::new(WHAT, &self.list[at..]);
        let id = field(&mut cursor, b'[')?;
        let tls_name = field(&mut cursor, b',')?;
        let mut hosts = Vec::new();
        if !(cursor.eat(b',') && cursor.eat(b'[')) {
            return None;
        }
        while !cursor.eat(b']') {
            if hosts.len() == MAX_HOSTS || !(hosts.is_empty() || cursor.eat(b',')) {
                return None;
            }
            let host = host(&mut cursor);
            if bad_hosts < MAX_HOSTS && Host::told(host, Some(Host::DEFAULT_PORT)).is_err() {
                bad_hosts = bad_hosts.checked_sub(1)?;
            }
            hosts.push(host);
        }
        let end = cursor.eat(b']').then(|| at + cursor.at())?;
        let ends = self.list.get(end).is_none_or(|&byte| byte == b',');
        ends.then_some(Form { end, id, tls_name, hosts })
    }

    /// The start of the next entry, after a comma, that has the form of a peer
    /// and a node id.
    fn next_form(&self, from: usize) -> Option<usize> {
        let begins = |at: &usize| {
            let here = self.list[*at] == b'[' && self.list[*at - 1] == b',';
            // Only with few bad hosts: otherwise each position might scan far
            // ahead.
            let form = here.then(|| self.form(*at, FEW)).flatten();
            form.is_some_and(|form| NodeId::from_bytes(form.id).is_ok())
        };
        (from..self.list.len()).find(begins)
    }

    fn peer(&mut self, at: usize, form: Form<'a>) -> Option<Peer> {
        let Ok(id) = NodeId::from_bytes(form.id) else {
            let entry = &self.list[at..form.end];
            self.bad.add(WHAT, entry, "the node id is not 1 to 19 characters");
            return None;
        };
        let of = |text: &[u8]| [id.as_bytes(), b": ", text].concat();
        let tls_name = match form.tls_name {
            b"" => None,
            name => match TlsName::from_bytes(name) {
                Ok(name) => Some(name),
                Err(_) => {
                    self.bad.add(WHAT, &of(name), "the TLS name is not 1 to 253 characters");
                    None
                }
            },
        };
        let mut hosts = Vec::with_capacity(form.hosts.len());
        for text in form.hosts {
            match Host::told(text, self.default_port) {
                Ok(host) => hosts.push(host),
                Err(problem) => self.bad.add(WHAT, &of(text), problem),
            }
        }
        Some(Peer { id, tls_name, hosts })
    }
}

/// The node id at the start of an entry without the form of a peer.
fn id_of(entry: &[u8]) -> Option<NodeId> {
    let mut cursor = Cursor::new(WHAT, entry);
    let id = field(&mut cursor, b'[').and_then(|id| NodeId::from_bytes(id).ok())?;
    (cursor.peek() == Some(b',')).then_some(id)
}

/// The byte, and the text after it up to the next comma or bracket.
fn field<'a>(cursor: &mut Cursor<'a>, first: u8) -> Option<&'a [u8]> {
    cursor.eat(first).then(|| cursor.until(b",[]"))
}

/// The text of a host: up to the next comma or closing bracket outside its own
/// brackets.
fn host<'a>(cursor: &mut Cursor<'a>) -> &'a [u8] {
    let start = cursor.at();
    if cursor.eat(b'[') {
        cursor.until(b",[]");
        cursor.eat(b']');
    }
    cursor.until(b",]");
    cursor.since(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_every_form_are_read() {
        let text = b"-7,,[[D4,,[127.0.0.14,[2001:db8::1],[::1]:1]],[A,tls.a,[db-1.x:9]],[B,,[]]]";
        let Peers { generation, peers, bad, .. } = parse_peers(text).unwrap();
        assert!((generation, bad.count()) == (-7, 0), "{bad:?}");
        let shown: Vec<_> = peers
            .iter()
            .map(|peer| {
                let hosts: Vec<_> = peer.hosts.iter().map(Host::to_string).collect();
                let tls = peer.tls_name.map_or("-".to_string(), |name| name.to_string());
                format!("{} {tls} {}", peer.id, hosts.join(" "))
            })
            .collect();
        let wanted =
            ["D4 - 127.0.0.14:3000 [2001:db8::1]:3000 [::1]:1", "A tls.a db-1.x:9", "B - "];
        assert_eq!(shown, wanted);
        let none = Peers { generation: 0, peers: vec![], more: 0, bad: BadEntries::default() };
        assert_eq!(parse_peers(b"0,3000,[]").unwrap(), none);
        let other = parse_peers(b"1,4000,[[A,,[h]]]").unwrap();
        assert_eq!(other.peers[0].hosts[0].port(), 4000);
    }

    #[test]
    fn h57_one_bad_entry_leaves_the_other_peers_alone() {
        let long_host = format!("[X,,[{}:3000]]", "h".repeat(255));
        let long_tls = format!("[X,{},[x]]", "t".repeat(254));
        // The entry, the peer that remains of it, and the number of bad entries.
        for (odd, left, bad) in [
            ("[X,,[127.0.0.1:0]]", "X:", 1),
            ("[X,,[127.0.0.1:0,x:1]]", "X:x:1", 1),
            ("[X,,[x:65536,x:1]]", "X:x:1", 1),
            ("[X,,[x:-1,x:1x,:1,a b,x:]]", "X:", 5),
            (&long_host, "X:", 1),
            (&long_tls, "X:x:3000", 1),
            ("[X,a b,[x]]", "X:x:3000", 1),
            ("[X,,[]]", "X:", 0),
            ("[X,,[[fe80::1%eth0]:3000]]", "X:[fe80::1%eth0]:3000", 0),
            ("[X,,[[fe80::1%eth0]]]", "X:[fe80::1%eth0]:3000", 0),
            ("[X,,[[fe80::1%]:3000,[::x]:1,[::1]]]", "X:[::1]:3000", 2),
            ("[X,,[[fe80::1%eth0:3000,x]]", "X:x:3000", 1),
            ("[X,,[::1]]", "X:", 1),
            ("[X,,[x],[y]]", "X:", 1),
            ("[X,,[x]", "X:", 1),
            ("[X,,[x]]]", "X:", 1),
            ("[X,,x]", "X:", 1),
            ("[X,x]", "X:", 1),
            ("[X]", "", 1),
            ("[]", "", 1),
            ("X", "", 1),
            ("", "", 1),
            ("[[X,,[x]]", "", 1),
            ("[,,[x]]", "", 1),
            ("[X/1,,[x]]", "", 1),
            ("[ABCDEFGHIJKLMNOPQRST,,[x]]", "", 1),
            ("[\x1b[2J,,[x]]", "", 1),
            ("[X,,,[h1,h2,[::1]]]", "X:", 1),
            ("[X,,[h1,h2,[::1]:0]", "X:", 1),
        ] {
            for (before, after) in [
                ("", ",[B,,[b:1]],[C,,[[::2]]]"),
                ("[B,,[b:1]],", ",[C,,[[::2]]]"),
                ("[B,,[b:1]],[C,,[[::2]]],", ""),
            ] {
                let text = format!("7,,[{before}{odd}{after}]");
                let found = parse_peers(text.as_bytes()).unwrap();
                let shown = |peer: &Peer| {
                    let hosts: Vec<_> = peer.hosts.iter().map(Host::to_string).collect();
                    format!("{}:{}", peer.id, hosts.join(" "))
                };
                let mut shown: Vec<_> = found.peers.iter().map(shown).collect();
                shown.sort();
                let wanted: Vec<_> = ["B:b:1", "C:[::2]:3000"]
                    .into_iter()
                    .chain((!left.is_empty()).then_some(left))
                    .collect();
                assert_eq!(shown, wanted, "{text}: {:?}", found.bad);
                assert_eq!(found.bad.count(), bad, "{text}: {:?}", found.bad);
            }
        }
    }

    #[test]
    fn h132_of_a_list_without_end_the_first_are_kept_and_those_that_are_known() {
        let entries: Vec<String> = (0..100).map(|number| format!("[N{number},,[h:1]]")).collect();
        let text = format!("1,,[[N90,[h:1]],{}]", entries.join(","));
        let known = |id: &NodeId| matches!(id.as_str(), "N2" | "N90" | "N99");
        let found = parse_peers_within(text.as_bytes(), 3, &known).unwrap();
        let ids: Vec<&str> = found.peers.iter().map(|peer| peer.id.as_str()).collect();
        assert_eq!(ids, ["N90", "N0", "N1", "N2", "N90", "N99"]);
        assert_eq!((found.more, found.bad.count()), (95, 1));
    }

    #[test]
    fn h57_a_bad_default_port_costs_only_those_who_need_it() {
        for port in ["0", "70000", "x", "-1", " "] {
            let text = format!("1,{port},[[A,,[a]],[B,,[b:2]]]");
            let found = parse_peers(text.as_bytes()).unwrap();
            assert_eq!((found.peers[0].hosts.len(), found.peers[1].hosts.len()), (0, 1), "{port}");
            assert_eq!(found.bad.count(), 2, "{port}: the port, and the host that needs it");
        }
    }

    /// A reply of maximum length, designed to be scanned repeatedly.
    #[test]
    fn h57_hostile_lists_take_linear_time() {
        for unit in ["[a,,[", "[a,,[h,", ",[a,,[[,", "[", "[A,,[h]", ",[h,h,", "[a,,[[::1],", "],["]
        {
            let text = format!("1,,[{}]", unit.repeat(200_000 / unit.len()));
            let begun = std::time::Instant::now();
            let _ = parse_peers(text.as_bytes());
            assert!(begun.elapsed().as_secs() < 10, "{unit}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn malformed_lists_are_refused() {
        for text in [
            "",
            "1",
            "1,",
            "1,3000",
            "1,3000,",
            "1,3000,[",
            "1,3000,]",
            "x,3000,[]",
            "2147483648,3000,[]",
            "1,3000,[] ",
            "1,3000,[[A,,[h]]],",
            "ERROR",
        ] {
            assert!(parse_peers(text.as_bytes()).is_err(), "{text}");
        }
    }
}
