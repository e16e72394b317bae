//! `replicas`: the partitions that a node holds.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::GrammarError;
use super::bad::BadEntries;
use super::cursor::Cursor;
use crate::map::NamespaceName;

/// A set of partitions.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitmap(Vec<u8>);

impl core::fmt::Debug for Bitmap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bitmap of {} partitions", self.partitions().count())
    }
}

impl Bitmap {
    /// The set encoded in these bytes: partition p is bit `0x80 >> (p & 7)` of
    /// byte `p >> 3`.
    pub fn new(bytes: Vec<u8>) -> Bitmap {
        Bitmap(bytes)
    }

    /// The bytes of the set.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The partitions in the set, ascending.
    pub fn partitions(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(_, byte)| **byte != 0).flat_map(|(index, &byte)| {
            (0..8).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| index * 8 + bit)
        })
    }
}

/// A node's claim for one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The regime of the claim; 0 without strong consistency.
    pub regime: u32,
    /// The effective replication factor, 1 to 255.
    pub replication_factor: u8,
    /// For each replica the partitions that the node holds; one bitmap per
    /// replica.
    pub columns: Vec<Bitmap>,
}

/// A node's claims for all namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Each namespace once.
    pub claims: Vec<Claim>,
    /// Namespaces that the node has, but whose entry can't be used.
    pub unread: Vec<NamespaceName>,
    /// Entries that could not be used.
    pub bad: BadEntries,
}

/// Parses `namespace:regime,rf,base64,…;…` for namespaces with `partitions` partitions (a multiple
/// of 8). Entries that can't be used are skipped; so are those whose number of columns differs
/// from the replication factor, and duplicate entries of a namespace.
///
/// # Errors
/// [`GrammarError`] if no entry can be used: the error of the first one.
pub fn parse_replicas(value: &[u8], partitions: usize) -> Result<Replicas, GrammarError> {
    let mut found = Replicas::default();
    let (mut seen, mut first) = (BTreeSet::new(), None);
    for (at, entry) in entries(value) {
        // Error positions refer to the whole value.
        let mut cursor = Cursor::at_entry(WHAT, value, at, at + entry.len());
        match claim(&mut cursor, partitions) {
            Ok(claim) if seen.insert(claim.namespace) => found.claims.push(claim),
            Ok(_) => found.bad.add(WHAT, entry, "the namespace is listed twice"),
            Err(error) => {
                found.bad.add(WHAT, entry, error.wanted);
                let name = entry.split(|byte| b":,".contains(byte)).next().unwrap_or_default();
                if let Ok(name) = NamespaceName::from_bytes(name)
                    && seen.insert(name)
                {
                    found.unread.push(name);
                }
                first = first.or(Some(error));
            }
        }
    }
    match first {
        Some(error) if found.claims.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// The entries and their positions.
fn entries(value: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = 0;
    value.split(|&byte| byte == b';').map(move |entry| {
        let at = next;
        next += entry.len() + 1;
        (at, entry)
    })
}

const WHAT: &str = "replicas";

fn claim(cursor: &mut Cursor<'_>, partitions: usize) -> Result<Claim, GrammarError> {
    let start = cursor.at();
    let namespace = NamespaceName::from_bytes(cursor.until(b":;,"))
        .map_err(|_| cursor.wanted_at(start, "a namespace of 1 to 31 characters"))?;
    cursor.expect(b':', ": and a regime")?;
    let regime = cursor.number("a regime, an unsigned 32-bit number")?;
    cursor.expect(b',', "a comma after the regime")?;
    let start = cursor.at();
    let replication_factor: u8 = cursor.number("a replication factor of 1 to 255")?;
    if replication_factor == 0 {
        return Err(cursor.wanted_at(start, "a replication factor of 1 to 255"));
    }
    let mut columns = Vec::new();
    for _ in 0..replication_factor {
        cursor.expect(b',', "a comma and a column for each replica")?;
        columns.push(column(cursor, partitions)?);
    }
    cursor.end()?;
    Ok(Claim { namespace, regime, replication_factor, columns })
}

fn column(cursor: &mut Cursor<'_>, partitions: usize) -> Result<Bitmap, GrammarError> {
    const WANTED: &str = "base64 of a bit for each partition (684 characters for 4096)";
    let start = cursor.at();
    let text = cursor.until(b",;");
    let length = partitions / 8;
    let fits = text.len() == length.div_ceil(3) * 4;
    let bytes = fits.then(|| STANDARD.decode(text).ok()).flatten();
    let bytes = bytes.filter(|bytes| bytes.len() == length);
    bytes.map(Bitmap).ok_or_else(|| cursor.wanted_at(start, WANTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    #[test]
    fn bits_count_from_the_top() {
        let bitmap = Bitmap::new(vec![0x80, 0x00, 0x03]);
        assert_eq!(bitmap.partitions().collect::<Vec<_>>(), [0, 22, 23]);
    }

    #[test]
    fn claims_are_read() {
        let (full, none) = (base64(&[255; 512]), base64(&[0; 512]));
        let text = format!("test:0,2,{full},{none};bar:9,1,{none}");
        let found = parse_replicas(text.as_bytes(), 4096).unwrap();
        let claims = found.claims;
        assert_eq!((claims.len(), found.bad.count()), (2, 0));
        assert_eq!((claims[0].regime, claims[0].replication_factor), (0, 2));
        assert_eq!(claims[0].columns[0].partitions().count(), 4096);
        assert_eq!(claims[0].columns[1].partitions().count(), 0);
        assert_eq!((claims[1].regime, claims[1].columns.len()), (9, 1));
    }

    #[test]
    fn h57_a_bad_namespace_leaves_the_others_alone() {
        let good = base64(&[0; 512]);
        let (short, long) = (base64(&[0; 511]), base64(&[0; 513]));
        let bad = format!("!{}", &good[1..]);
        let name = |name| NamespaceName::new(name).unwrap();
        for (odd, unread) in [
            (String::new(), None),
            ("test".into(), Some("test")),
            (format!("test:0,2,{good}"), Some("test")),
            (format!("test:0,1,{good},{good}"), Some("test")),
            ("test:0,0".into(), Some("test")),
            (format!("test:0,0,{good}"), Some("test")),
            (format!("test:0,256,{good}"), Some("test")),
            (format!("test:0,300,{good}"), Some("test")),
            (format!("test:-1,1,{good}"), Some("test")),
            (format!("test:4294967296,1,{good}"), Some("test")),
            (format!("test:0,1,{short}"), Some("test")),
            (format!("test:0,1,{long}"), Some("test")),
            (format!("test:0,1,{bad}"), Some("test")),
            (format!(":0,1,{good}"), None),
            (format!("{}:0,1,{good}", "n".repeat(32)), None),
            (format!("a b:0,1,{good}"), None),
            (format!("bar:7,1,{good}"), None),
        ] {
            for text in [
                format!("bar:0,1,{good};{odd};foo:0,1,{good}"),
                format!("bar:0,1,{good};foo:0,1,{good};{odd}"),
            ] {
                let found = parse_replicas(text.as_bytes(), 4096).unwrap();
                let names: Vec<_> =
                    found.claims.iter().map(|claim| (claim.namespace, claim.regime)).collect();
                assert_eq!(names, [(name("bar"), 0), (name("foo"), 0)], "{text:.40}");
                assert_eq!(found.bad.count(), 1, "{text:.40}");
                assert_eq!(found.unread.first().copied(), unread.map(name), "{text:.40}");
            }
            // A single bad entry makes the whole reply unusable.
            assert_eq!(
                parse_replicas(odd.as_bytes(), 4096).is_err(),
                !odd.starts_with("bar"),
                "{odd:.40}"
            );
        }
    }
}
