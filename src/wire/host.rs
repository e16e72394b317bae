//! Addresses as users and servers write them.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::map::TlsName;

/// A host, by name or IP address, and a port; with TLS also the name in its certificate, if that
/// differs.
///
/// ```
/// use tendmap::wire::Host;
/// let host: Host = "db1.example.org".parse().unwrap();
/// assert_eq!((host.name(), host.port()), ("db1.example.org", 3000));
/// let host: Host = "10.0.0.1:cluster-a:4333".parse().unwrap();
/// assert_eq!((host.certificate_name(), host.port()), ("cluster-a", 4333));
/// assert_eq!("[2001:db8::1]:3100".parse::<Host>().unwrap().to_string(), "[2001:db8::1]:3100");
/// let host: Host = "[fe80::1%eth0]:3100".parse().unwrap();
/// assert_eq!((host.name(), host.scope()), ("fe80::1", Some("eth0")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    name: String,
    scope: Option<String>,
    tls_name: Option<String>,
    port: u16,
}

/// Text that is not a valid host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid host {text:?}: {problem}; wanted name, name:port, IPv4:port, [IPv6]:port or [IPv6%interface]:port, with a TLS name before the port if need be"
)]
pub struct HostError {
    text: String,
    pub(crate) problem: &'static str,
}

/// The problem of an invalid port.
const BAD_PORT: &str = "the port is not 1 to 65535";

impl Host {
    /// The default port of servers.
    pub const DEFAULT_PORT: u16 = 3000;
    /// The maximum length of a name in bytes (RFC 1035).
    pub const MAX_NAME: usize = 253;
    /// The maximum length of the name of a network interface in bytes (IFNAMSIZ).
    pub const MAX_SCOPE: usize = 15;

    /// A host with this name or IP address (IPv6 without brackets, its scope after a `%`) and
    /// port.
    ///
    /// # Errors
    /// [`HostError`] if the name is empty, too long or has a character that is invalid in a host
    /// name, or if the port is 0.
    pub fn new(name: &str, port: u16) -> Result<Host, HostError> {
        let fail = |problem| Err(HostError { text: name.into(), problem });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if port == 0 {
            return fail("the port is 0");
        }
        let (ip, scope) = split_scope(name);
        if ip.parse::<Ipv6Addr>().is_ok() {
            return match scope.map_or(Ok(()), check_scope) {
                Ok(()) => {
                    let scope = scope.map(String::from);
                    Ok(Host { name: ip.into(), scope, tls_name: None, port })
                }
                Err(problem) => fail(problem),
            };
        }
        if name.is_empty() {
            return fail("the name is empty");
        }
        if name.len() > Host::MAX_NAME {
            return fail("the name is longer than 253 bytes");
        }
        if !name.bytes().all(plain) {
            return fail("the name has a character that is invalid in a host name");
        }
        Ok(Host { name: name.into(), scope: None, tls_name: None, port })
    }

    /// Parses a host as a server writes it: `name [":" port]`, with an IPv6 address in brackets.
    ///
    /// # Errors
    /// The problem of the text.
    pub(super) fn told(text: &[u8], default_port: Option<u16>) -> Result<Host, &'static str> {
        let text = core::str::from_utf8(text).map_err(|_| "it is not text")?;
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => bracketed(rest)?,
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => number(port)?,
            None => default_port.ok_or("the port is missing")?,
        };
        Host::new(name, port).map_err(|error| error.problem)
    }

    /// Sets the name in the host's certificate.
    #[must_use]
    pub fn with_tls_name(mut self, name: Option<&TlsName>) -> Host {
        self.tls_name = name.map(ToString::to_string).or(self.tls_name);
        self
    }

    /// The configured name in its certificate, if there is one.
    #[must_use]
    pub fn tls_name(&self) -> Option<&str> {
        self.tls_name.as_deref()
    }

    /// The name (or IP address) that its certificate must have.
    #[must_use]
    pub fn certificate_name(&self) -> &str {
        self.tls_name.as_deref().unwrap_or(&self.name)
    }

    /// The name or IP address (IPv6 without brackets and scope).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scope of the IPv6 address: an interface's name or number (RFC 4007).
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is given by IP address, not by name.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.name.parse::<IpAddr>().is_ok()
    }

    /// The socket address, if the host is given by IP address. The scope is used
    /// only for link-local IPv6 addresses, because others have none. `None` also
    /// if the scope names an interface that this machine does not have.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.name.parse().ok()? {
            IpAddr::V6(ip) => {
                let scope = match &self.scope {
                    Some(scope) if is_scoped(ip) => scope_id(scope)?,
                    _ => 0,
                };
                Some(SocketAddrV6::new(ip, self.port, 0, scope).into())
            }
            ip => Some(SocketAddr::new(ip, self.port)),
        }
    }
}

/// The name and, after a `%`, the scope.
fn split_scope(name: &str) -> (&str, Option<&str>) {
    match name.split_once('%') {
        Some((name, scope)) => (name, Some(scope)),
        None => (name, None),
    }
}

/// Whether an address identifies a node only together with an interface.
fn is_scoped(ip: Ipv6Addr) -> bool {
    // Link-local unicast, fe80::/10.
    ip.segments()[0] & 0xffc0 == 0xfe80
}

fn check_scope(scope: &str) -> Result<(), &'static str> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"%/[],;".contains(&byte);
    match scope.len() {
        1..=Host::MAX_SCOPE if scope.bytes().all(fits) => Ok(()),
        _ => Err("the scope after % is neither an interface's name nor its number"),
    }
}

/// The number of an interface by its name or number.
fn scope_id(scope: &str) -> Option<u32> {
    match scope.parse() {
        Ok(number) => Some(number),
        Err(_) => nix::net::if_::if_nametoindex(scope).ok(),
    }
}

/// Splits the text after an opening bracket into the address and the port.
fn bracketed(rest: &str) -> Result<(&str, Option<&str>), &'static str> {
    let (name, port) = rest.split_once(']').ok_or("the ] is missing")?;
    if split_scope(name).0.parse::<Ipv6Addr>().is_err() {
        return Err("the text in the brackets is not an IPv6 address");
    }
    match port {
        "" => Ok((name, None)),
        port => Ok((name, Some(port.strip_prefix(':').ok_or("a : is missing")?))),
    }
}

fn number(port: &str) -> Result<u16, &'static str> {
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    port.parse().map_err(|_| BAD_PORT)
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Host {
        let scope = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id().to_string()),
            _ => None,
        };
        Host { name: address.ip().to_string(), scope, tls_name: None, port: address.port() }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.contains(':'), &self.scope) {
            (true, Some(scope)) => write!(f, "[{}%{scope}]:", self.name)?,
            (true, None) => write!(f, "[{}]:", self.name)?,
            (false, _) => write!(f, "{}:", self.name)?,
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
            Some(rest) => bracketed(rest).map_err(fail)?,
            None if split_scope(text).0.parse::<Ipv6Addr>().is_ok() => (text, None),
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let (tls_name, port) = match port.and_then(|port| port.rsplit_once(':')) {
            Some((name, port)) => {
                let name = TlsName::new(name).map_err(|_| fail("the TLS name is invalid"))?;
                (Some(name), Some(port))
            }
            None => (None, port),
        };
        let port = match port {
            Some(port) => number(port).map_err(fail)?,
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
            "[fe80::1%eth0]:3000",
            "[fe80::1%2]:tls.a:3000",
            "[2001:db8::1%br-12ab.7:0]:1",
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
        assert_eq!("fe80::1%7".parse::<Host>().unwrap().to_string(), "[fe80::1%7]:3000");
    }

    #[test]
    fn h58_a_scope_is_kept_where_it_counts() {
        let address = |text: &str| text.parse::<Host>().unwrap().address();
        let scoped =
            |scope| SocketAddr::from(SocketAddrV6::new("fe80::1".parse().unwrap(), 3000, 0, scope));
        assert_eq!(address("[fe80::1%7]:3000"), Some(scoped(7)));
        assert_eq!(address("[fe80::1%4294967295]:3000"), Some(scoped(u32::MAX)));
        let lo = nix::net::if_::if_nametoindex("lo").expect("every machine has it");
        assert_eq!(address("[fe80::1%lo]:3000"), Some(scoped(lo)));
        assert_eq!(address("[fe80::1%no-such-if]:3000"), None);
        // For other addresses the scope has no meaning: the same address leads to
        // the same node.
        assert_eq!(address("[2001:db8::1%7]:1"), address("[2001:db8::1]:1"));
        let there_and_back = Host::from(scoped(7));
        assert_eq!(
            (there_and_back.to_string().as_str(), there_and_back.address()),
            ("[fe80::1%7]:3000", Some(scoped(7)))
        );
        assert_eq!("[fe80::1%7]:3000".parse::<Host>().unwrap().certificate_name(), "fe80::1");
    }

    #[test]
    fn hosts_that_servers_tell_are_read_or_refused_with_the_reason() {
        let told =
            |text: &str| Host::told(text.as_bytes(), Some(4000)).map(|host| host.to_string());
        for (text, host) in [
            ("a", "a:4000"),
            ("a:1", "a:1"),
            ("[::1]", "[::1]:4000"),
            ("[fe80::1%eth0]:3000", "[fe80::1%eth0]:3000"),
        ] {
            assert_eq!(told(text).as_deref(), Ok(host));
        }
        for (text, problem) in [
            ("a:0", "the port is 0"),
            ("a:70000", BAD_PORT),
            ("a:b:1", "the port is not a number"),
            ("::1", "the port is not a number"),
            ("", "the name is empty"),
            ("[::1", "the ] is missing"),
            ("[x]:1", "the text in the brackets is not an IPv6 address"),
            ("[::1]1", "a : is missing"),
        ] {
            assert_eq!(told(text), Err(problem), "{text}");
        }
        assert_eq!(Host::told(b"a", None), Err("the port is missing"));
        assert_eq!(Host::told(b"\xff:1", None), Err("it is not text"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "x".repeat(254);
        for text in [
            "",
            ":1",
            "a:b:",
            "a:b:c:1",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:x",
            "[::1",
            "[a]:1",
            "[::1]x",
            "a b",
            "[::1%]:1",
            "[::1%a%b]:1",
            "[::1%sixteen-bytes-if]:1",
            "a%eth0:1",
            "10.0.0.1%eth0:1",
            "[10.0.0.1%eth0]:1",
            "[fe80::1%a b]:1",
            &long,
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
    }
}
