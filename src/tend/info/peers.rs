//! `peers-clear-std` and its kin: the other nodes, as one node sees them.

use super::GrammarError;
use super::cursor::Cursor;
use crate::map::{NodeId, TlsName};
use crate::tend::Host;

/// The other nodes, as one node sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// The peers generation that this list belongs to, or a later one.
    pub generation: i32,
    /// The nodes, in the server's order; a bad server may repeat them.
    pub peers: Vec<Peer>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it calls itself.
    pub id: NodeId,
    /// The name on its TLS certificate.
    pub tls_name: Option<TlsName>,
    /// Where it can be reached; may be empty.
    pub hosts: Vec<Host>,
}

/// Reads `generation,[port],[[id,[tls_name],[host,…]],…]`.
///
/// # Errors
/// [`GrammarError`] at the first byte that does not fit.
pub fn parse_peers(value: &[u8]) -> Result<Peers, GrammarError> {
    let mut cursor = Cursor::new("peers", value);
    let generation = cursor.number("a generation, a signed 32-bit number")?;
    cursor.expect(b',', "a comma after the generation")?;
    let default_port = match cursor.peek() {
        Some(b',') => Host::DEFAULT_PORT,
        _ => cursor.number("a port or nothing")?,
    };
    cursor.expect(b',', "a comma after the default port")?;
    let peers = list(&mut cursor, |cursor| peer(cursor, default_port))?;
    cursor.end()?;
    Ok(Peers { generation, peers })
}

fn peer(cursor: &mut Cursor<'_>, default_port: u16) -> Result<Peer, GrammarError> {
    cursor.expect(b'[', "[ and a peer")?;
    let start = cursor.at();
    let id = NodeId::from_bytes(cursor.until(b",[]"))
        .map_err(|_| cursor.wanted_at(start, "a node id of 1 to 19 characters"))?;
    cursor.expect(b',', "a comma after the node id")?;
    let start = cursor.at();
    let tls_name = match cursor.until(b",[]") {
        b"" => None,
        name => Some(
            TlsName::from_bytes(name)
                .map_err(|_| cursor.wanted_at(start, "a TLS name of at most 253 characters"))?,
        ),
    };
    cursor.expect(b',', "a comma after the TLS name")?;
    let hosts = list(cursor, |cursor| cursor.host(Some(default_port)))?;
    cursor.expect(b']', "] after a peer")?;
    Ok(Peer { id, tls_name, hosts })
}

/// `"[" [ item { "," item } ] "]"`
fn list<'a, I>(
    cursor: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<I, GrammarError>,
) -> Result<Vec<I>, GrammarError> {
    cursor.expect(b'[', "[ and a list")?;
    let mut items = Vec::new();
    if cursor.eat(b']') {
        return Ok(items);
    }
    loop {
        items.push(item(cursor)?);
        if cursor.eat(b']') {
            return Ok(items);
        }
        cursor.expect(b',', "a comma or ]")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_every_form_are_read() {
        let text = b"-7,,[[D4,,[127.0.0.14,[2001:db8::1],[::1]:1]],[A,tls.a,[db-1.x:9]],[B,,[]]]";
        let Peers { generation, peers } = parse_peers(text).unwrap();
        assert_eq!(generation, -7);
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
        assert_eq!(parse_peers(b"0,3000,[]").unwrap(), Peers { generation: 0, peers: vec![] });
        let other = parse_peers(b"1,4000,[[A,,[h]]]").unwrap();
        assert_eq!(other.peers[0].hosts[0].port(), 4000);
    }

    #[test]
    fn malformed_peers_are_refused() {
        for text in [
            "",
            "1",
            "1,",
            "1,3000,",
            "1,3000,[",
            "1,3000,[]]",
            "1,3000,[[]]",
            "1,3000,[[A]]",
            "1,3000,[[A,,[h]]",
            "1,3000,[[A,,[h]],]",
            "1,3000,[[A,,[h,]]]",
            "x,3000,[]",
            "2147483648,3000,[]",
            "1,70000,[]",
            "1,3000,[[,,[h]]]",
            "1,3000,[[A,,[:1]]]",
            "1,3000,[[A,,[h:0]]]",
            "1,3000,[[A,,[h:99999]]]",
            "1,3000,[[A,,[[::1]]]",
            "1,3000,[[A,,[[x]]]]",
            "1,3000,[[ABCDEFGHIJKLMNOPQRST,,[h]]]",
            "1,3000,[] ",
        ] {
            assert!(parse_peers(text.as_bytes()).is_err(), "{text}");
        }
    }
}
