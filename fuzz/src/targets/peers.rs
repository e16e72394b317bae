//! A list of peers.

use tendmap::internals::wire::info::{parse_peers, parse_peers_within};

pub fn run(bytes: &[u8]) {
    if let Ok(peers) = parse_peers(bytes) {
        assert!(peers.bad.kept().len() <= peers.bad.count());
        // The first two, and all known ones at any position.
        let is_known = |id: &tendmap::map::NodeId| id.as_str().ends_with('A');
        let few = parse_peers_within(bytes, 2, &is_known).unwrap();
        assert!(few.peers.iter().filter(|peer| !is_known(&peer.id)).count() <= 2);
        let known = |all: &[tendmap::internals::wire::info::Peer]| {
            all.iter().filter(|peer| is_known(&peer.id)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(known(&few.peers), known(&peers.peers));
        // Parsed peers can be written and parsed again without bad entries.
        let list: Vec<String> = peers
            .peers
            .iter()
            .map(|peer| {
                let hosts: Vec<String> = peer.hosts.iter().map(ToString::to_string).collect();
                let tls = peer.tls_name.map_or(String::new(), |name| name.to_string());
                format!("[{},{tls},[{}]]", peer.id, hosts.join(","))
            })
            .collect();
        let text = format!("{},,[{}]", peers.generation, list.join(","));
        let again = parse_peers(text.as_bytes()).unwrap();
        assert_eq!((again.generation, again.peers), (peers.generation, peers.peers));
        assert!(again.bad.is_empty(), "{:?}", again.bad);
    }
}
