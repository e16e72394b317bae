//! A list of peers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tendmap::tend::info::parse_peers;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(peers) = parse_peers(bytes) {
        // Whatever was read can be written and read again.
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
        assert_eq!(parse_peers(text.as_bytes()), Ok(peers));
    }
});
