//! Where a server is reached: a name or address and a port.

use core::fmt;
use core::str::FromStr;
use std::net::Ipv6Addr;

/// The port of Aerospike servers where none is given.
pub const DEFAULT_PORT: u16 = 3000;

/// A host to begin with: a DNS name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    /// The DNS name or IP address, without brackets.
    pub name: String,
    /// The port.
    pub port: u16,
}

/// A host that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host {found:?}; wanted NAME, NAME:PORT, IPV4:PORT or [IPV6]:PORT")]
pub struct HostError {
    /// What was given.
    pub found: String,
}

impl Host {
    /// A host of that name and port.
    pub fn new(name: impl Into<String>, port: u16) -> Host {
        Host { name: name.into(), port }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Host, HostError> {
        let error = || HostError { found: text.to_owned() };
        let port = |digits: &str| match digits.parse() {
            Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => Err(error()),
        };
        if let Some(rest) = text.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or_else(error)?;
            name.parse::<Ipv6Addr>().map_err(|_| error())?;
            let port = match rest.strip_prefix(':') {
                Some(digits) => port(digits)?,
                None if rest.is_empty() => DEFAULT_PORT,
                None => return Err(error()),
            };
            return Ok(Host::new(name, port));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Host::new(text, DEFAULT_PORT));
        }
        let (name, port) = match text.split_once(':') {
            Some((name, digits)) => (name, port(digits)?),
            None => (text, DEFAULT_PORT),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 253 || !name.bytes().all(allowed) {
            return Err(error());
        }
        Ok(Host::new(name, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_written() {
        for (text, name, port, written) in [
            ("db-1.example", "db-1.example", 3000, "db-1.example:3000"),
            ("127.0.0.1:3100", "127.0.0.1", 3100, "127.0.0.1:3100"),
            ("[::1]:4000", "::1", 4000, "[::1]:4000"),
            ("[::1]", "::1", 3000, "[::1]:3000"),
            ("::1", "::1", 3000, "[::1]:3000"),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host, Host::new(name, port));
            assert_eq!(host.to_string(), written);
        }
    }

    #[test]
    fn bad_hosts_are_refused() {
        for text in ["", ":3000", "a:", "a:0", "a:65536", "a:+1", "a b", "[::1", "[x]:1", "a:1:2"] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }
}
