//! Addresses as people and servers write them.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, SocketAddr};

use crate::map::TlsName;

/// A host, by name or IP address, and a port; with TLS also the name that its
/// certificate bears, where that is another one.
///
/// ```
/// use tendmap::tend::Host;
/// let host: Host = "db1.example.org".parse().unwrap();
/// assert_eq!((host.name(), host.port()), ("db1.example.org", 3000));
/// let host: Host = "10.0.0.1:cluster-a:4333".parse().unwrap();
/// assert_eq!((host.certificate_name(), host.port()), ("cluster-a", 4333));
/// assert_eq!("[2001:db8::1]:3100".parse::<Host>().unwrap().to_string(), "[2001:db8::1]:3100");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    name: String,
    tls_name: Option<String>,
    port: u16,
}

/// Text that is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no host: {problem}; wanted name, name:port, IPv4:port or [IPv6]:port, with a TLS name before the port if need be"
)]
pub struct HostError {
    text: String,
    problem: &'static str,
}

impl Host {
    /// The port that servers listen on unless told otherwise.
    pub const DEFAULT_PORT: u16 = 3000;
    /// The longest name, in bytes (RFC 1035).
    pub const MAX_NAME: usize = 253;

    /// The host of that name or IP address (IPv6 without brackets) and port.
    ///
    /// # Errors
    /// [`HostError`] if the name is empty, too long or has a character that no
    /// host name has, or if the port is 0.
    pub fn new(name: &str, port: u16) -> Result<Host, HostError> {
        let fail = |problem| Err(HostError { text: name.into(), problem });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if name.is_empty() {
            return fail("the name is empty");
        }
        if name.len() > Host::MAX_NAME {
            return fail("the name is longer than 253 bytes");
        }
        if port == 0 {
            return fail("the port is 0");
        }
        if name.parse::<IpAddr>().is_err() && !name.bytes().all(plain) {
            return fail("the name has a character that no host name has");
        }
        Ok(Host { name: name.into(), tls_name: None, port })
    }

    /// The same host with a certificate that bears this name.
    pub fn with_tls_name(mut self, name: Option<&TlsName>) -> Host {
        self.tls_name = name.map(ToString::to_string).or(self.tls_name);
        self
    }

    /// The name that its certificate bears, where it was given one.
    pub fn tls_name(&self) -> Option<&str> {
        self.tls_name.as_deref()
    }

    /// The name (or IP address) that its certificate must bear.
    pub fn certificate_name(&self) -> &str {
        self.tls_name.as_deref().unwrap_or(&self.name)
    }

    /// Its name or IP address (IPv6 without brackets).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, if it is given by IP address and not by name.
    pub fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.name.parse().ok()?, self.port))
    }
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Host {
        Host { name: address.ip().to_string(), tls_name: None, port: address.port() }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:", self.name)?,
            false => write!(f, "{}:", self.name)?,
        }
        if let Some(name) = &self.tls_name {
            write!(f, "{name}:")?;
        }
        write!(f, "{}", self.port)
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Host, HostError> {
        let fail = |problem| HostError { text: text.into(), problem };
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']').ok_or(fail("the ] is missing"))?;
                if name.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(fail("no IPv6 address stands in the brackets"));
                }
                match port {
                    "" => (name, None),
                    port => (name, Some(port.strip_prefix(':').ok_or(fail("a : is missing"))?)),
                }
            }
            None if text.parse::<std::net::Ipv6Addr>().is_ok() => (text, None),
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let (tls_name, port) = match port.and_then(|port| port.rsplit_once(':')) {
            Some((name, port)) => {
                let name = TlsName::new(name).map_err(|_| fail("the TLS name is none"))?;
                (Some(name), Some(port))
            }
            None => (None, port),
        };
        let port = match port {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                port.parse().map_err(|_| fail("the port is not 1 to 65535"))?
            }
            Some(_) => return Err(fail("the port is not a number")),
            None => Host::DEFAULT_PORT,
        };
        let host = Host::new(name, port).map_err(|error| fail(error.problem))?;
        Ok(host.with_tls_name(tls_name.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_back_as_they_were_written() {
        for text in [
            "a:1",
            "10.0.0.1:3000",
            "[::1]:3100",
            "node-1.db_x.example.org:65535",
            "a:b.c:1",
            "[::1]:b:1",
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
        }
        for (text, whole) in
            [("a", "a:3000"), ("[::1]", "[::1]:3000"), ("fe80::1", "[fe80::1]:3000")]
        {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), whole);
        }
        let v6 = "[::1]:3100".parse::<Host>().unwrap();
        assert_eq!(v6.address(), Some("[::1]:3100".parse().unwrap()));
        assert_eq!("name:3100".parse::<Host>().unwrap().address(), None);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "x".repeat(254);
        for text in [
            "", ":1", "a:b:", "a:b:c:1", "a:", "a:0", "a:65536", "a:+1", "a:x", "[::1", "[a]:1",
            "[::1]x", "a b", &long,
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
    }
}
