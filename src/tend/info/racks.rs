//! `rack-ids`: the rack of one node in each namespace.

use super::GrammarError;
use super::cursor::Cursor;
use crate::map::NamespaceName;

/// Reads `namespace:rack;…`; nothing = no racks.
///
/// # Errors
/// [`GrammarError`] at the first byte that does not fit.
pub fn parse_racks(value: &[u8]) -> Result<Vec<(NamespaceName, i32)>, GrammarError> {
    let mut cursor = Cursor::new("rack-ids", value);
    let mut racks = Vec::new();
    if value.is_empty() {
        return Ok(racks);
    }
    loop {
        let start = cursor.at();
        let name = NamespaceName::from_bytes(cursor.until(b":;"))
            .map_err(|_| cursor.wanted_at(start, "a namespace of 1 to 31 characters"))?;
        cursor.expect(b':', ": and a rack id")?;
        racks.push((name, cursor.number("a rack id, a signed 32-bit number")?));
        if !cursor.eat(b';') {
            break;
        }
    }
    cursor.end()?;
    Ok(racks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn racks_are_read_or_refused() {
        let racks = parse_racks(b"test:1;bar:-2").unwrap();
        let name = |name| NamespaceName::new(name).unwrap();
        assert_eq!(racks, [(name("test"), 1), (name("bar"), -2)]);
        assert_eq!(parse_racks(b"").unwrap(), []);
        for text in ["test", "test:", "test:x", "test:1;", ":1", "test:1,bar:2", "t:3000000000"] {
            assert!(parse_racks(text.as_bytes()).is_err(), "{text}");
        }
    }
}
