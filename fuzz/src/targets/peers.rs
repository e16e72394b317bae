//! A list of peers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tendmap::tend::info::parse_peers;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(peers) = parse_peers(bytes) {
        assert!(peers.bad.kept().len() <= peers.bad.count());
        // Whatever was read can be written and read again, and nothing of it is bad.
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
});
