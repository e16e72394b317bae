//! `service-clear-std` and its kin: where a node itself says it is reached.

use super::GrammarError;
use super::cursor::Cursor;
use crate::tend::Host;

/// Reads `host:port,…`; nothing = the node tells no address.
///
/// # Errors
/// [`GrammarError`] at the first byte that does not fit.
pub fn parse_service(value: &[u8]) -> Result<Vec<Host>, GrammarError> {
    let mut cursor = Cursor::new("service", value);
    let mut hosts = Vec::new();
    if value.is_empty() {
        return Ok(hosts);
    }
    loop {
        hosts.push(cursor.host(None)?);
        if !cursor.eat(b',') {
            break;
        }
    }
    cursor.end()?;
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_lists_are_read_or_refused() {
        let hosts = parse_service(b"127.0.0.14:3000,[::1]:1,db.x:2").unwrap();
        let shown: Vec<_> = hosts.iter().map(Host::to_string).collect();
        assert_eq!(shown, ["127.0.0.14:3000", "[::1]:1", "db.x:2"]);
        assert_eq!(parse_service(b"").unwrap(), []);
        for text in ["a", "a:1,", ",a:1", "a:1;b:2", "a:x", "[::1]", "a:1]"] {
            assert!(parse_service(text.as_bytes()).is_err(), "{text}");
        }
    }
}
