//! `replicas`: which partitions a node holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::GrammarError;
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
    /// The set of these bytes: partition p is bit `0x80 >> (p & 7)` of byte
    /// `p >> 3`.
    pub fn new(bytes: Vec<u8>) -> Bitmap {
        Bitmap(bytes)
    }

    /// The partitions in the set, ascending.
    pub fn partitions(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(_, byte)| **byte != 0).flat_map(|(index, &byte)| {
            (0..8).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| index * 8 + bit)
        })
    }
}

/// What a node says of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The regime of the claim; 0 without strong consistency.
    pub regime: u32,
    /// The effective replication factor, 1 to 255.
    pub replication_factor: u8,
    /// For each replica the partitions of which the node holds it; as many as
    /// the replication factor.
    pub columns: Vec<Bitmap>,
}

/// Reads `namespace:regime,rf,base64,…;…` for namespaces of so many partitions
/// (a multiple of 8).
///
/// # Errors
/// [`GrammarError`] at the first byte that does not fit; also for a namespace
/// that is listed twice, and for a number of columns other than the replication
/// factor.
pub fn parse_replicas(value: &[u8], partitions: usize) -> Result<Vec<Claim>, GrammarError> {
    let mut cursor = Cursor::new("replicas", value);
    let mut claims: Vec<Claim> = Vec::new();
    loop {
        let start = cursor.at();
        let claim = claim(&mut cursor, partitions)?;
        if claims.iter().any(|earlier| earlier.namespace == claim.namespace) {
            return Err(cursor.wanted_at(start, "every namespace once"));
        }
        claims.push(claim);
        if !cursor.eat(b';') {
            break;
        }
    }
    cursor.end()?;
    Ok(claims)
}

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
        let claims = parse_replicas(text.as_bytes(), 4096).unwrap();
        assert_eq!(claims.len(), 2);
        assert_eq!((claims[0].regime, claims[0].replication_factor), (0, 2));
        assert_eq!(claims[0].columns[0].partitions().count(), 4096);
        assert_eq!(claims[0].columns[1].partitions().count(), 0);
        assert_eq!((claims[1].regime, claims[1].columns.len()), (9, 1));
    }

    #[test]
    fn malformed_claims_are_refused() {
        let good = base64(&[0; 512]);
        let (short, long) = (base64(&[0; 511]), base64(&[0; 513]));
        let bad = format!("!{}", &good[1..]);
        for text in [
            String::new(),
            "test".into(),
            format!("test:0,2,{good}"),
            format!("test:0,1,{good},{good}"),
            "test:0,0".into(),
            format!("test:0,0,{good}"),
            format!("test:0,256,{good}"),
            format!("test:-1,1,{good}"),
            format!("test:4294967296,1,{good}"),
            format!("test:0,1,{short}"),
            format!("test:0,1,{long}"),
            format!("test:0,1,{bad}"),
            format!("test:0,1,{good};"),
            format!("test:0,1,{good};test:0,1,{good}"),
            format!(":0,1,{good}"),
            format!("{}:0,1,{good}", "n".repeat(32)),
        ] {
            assert!(parse_replicas(text.as_bytes(), 4096).is_err(), "{text:.40}");
        }
    }
}
