//! `rack-ids`: the rack of one node in each namespace.

use super::bad::BadEntries;
use crate::map::NamespaceName;

/// The racks of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeRacks {
    /// The rack in each namespace.
    pub racks: Vec<(NamespaceName, i32)>,
    /// Namespaces whose entry can't be used.
    pub unread: Vec<NamespaceName>,
    /// Entries that could not be used.
    pub bad: BadEntries,
}

/// Parses `namespace:rack;…`; an empty value means no racks. Entries that can't
/// be used are skipped, and so are duplicate entries of a namespace.
pub fn parse_racks(value: &[u8]) -> NodeRacks {
    let mut found = NodeRacks::default();
    if value.is_empty() {
        return found;
    }
    let mut seen = std::collections::BTreeSet::new();
    for entry in value.split(|&byte| byte == b';') {
        let (name, rack) = match entry.iter().position(|&byte| byte == b':') {
            Some(at) => (&entry[..at], Some(&entry[at + 1..])),
            None => (entry, None),
        };
        let Ok(name) = NamespaceName::from_bytes(name) else {
            found.bad.add("rack-ids", entry, "the namespace is not 1 to 31 characters");
            continue;
        };
        let number = rack.and_then(|rack| core::str::from_utf8(rack).ok());
        // Rust accepts a leading +, but servers do not.
        let number =
            number.filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok());
        match number {
            _ if !seen.insert(name) => {
                found.bad.add("rack-ids", entry, "the namespace is listed twice");
            }
            Some(rack) => found.racks.push((name, rack)),
            None => {
                found.unread.push(name);
                found.bad.add("rack-ids", entry, "the rack is not a signed 32-bit number");
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h57_a_bad_rack_leaves_the_others_alone() {
        let name = |name| NamespaceName::new(name).unwrap();
        let found = parse_racks(b"test:1;bar:-2");
        assert_eq!(
            (found.racks, found.bad.count()),
            (vec![(name("test"), 1), (name("bar"), -2)], 0)
        );
        assert_eq!(parse_racks(b""), NodeRacks::default());
        let long = format!("{}:1", "n".repeat(32));
        for (odd, unread) in [
            ("x", true),
            ("x:", true),
            ("x:y", true),
            ("x:3000000000", true),
            ("x:+1", true),
            ("x:1:2", true),
            ("", false),
            (":1", false),
            (&long, false),
            ("a,b:1", false),
            ("test:2", false),
            ("test:y", false),
        ] {
            let found = parse_racks(format!("test:1;{odd};bar:-2").as_bytes());
            assert_eq!(found.racks, [(name("test"), 1), (name("bar"), -2)], "{odd}");
            assert_eq!(found.bad.count(), 1, "{odd}");
            assert_eq!(found.unread, if unread { vec![name("x")] } else { vec![] }, "{odd}");
        }
    }
}
