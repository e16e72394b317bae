//! `service-clear-std` and its variants: the addresses that a node reports for
//! itself.

use super::bad::BadEntries;
use crate::wire::Host;

/// Parses `host:port,…`; an empty value means that the node reports no address.
/// Entries that can't be used are skipped.
pub fn parse_service(value: &[u8]) -> (Vec<Host>, BadEntries) {
    let (mut hosts, mut bad) = (Vec::new(), BadEntries::default());
    if value.is_empty() {
        return (hosts, bad);
    }
    for text in value.split(|&byte| byte == b',') {
        match Host::told(text, None) {
            Ok(host) => hosts.push(host),
            Err(problem) => bad.add("service", text, problem),
        }
    }
    (hosts, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h57_a_bad_address_leaves_the_others_alone() {
        let read = |text: &str| {
            let (hosts, bad) = parse_service(text.as_bytes());
            (hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(" "), bad.count())
        };
        let whole = "127.0.0.14:3000,[::1]:1,[fe80::1%eth0]:1,db.x:2";
        assert_eq!(read(whole), (whole.replace(',', " "), 0));
        assert_eq!(read(""), (String::new(), 0));
        for odd in ["", "a", "a:0", "a:65536", "a:x", "[::1]", "a:1]", "a:1;b:2", ":1", "[::1:1"] {
            assert_eq!(read(&format!("a:1,{odd},b:2")), ("a:1 b:2".into(), 1), "{odd}");
            assert_eq!(read(&format!("a:1,{odd}")), ("a:1".into(), 1), "{odd}");
        }
    }
}
