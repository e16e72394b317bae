//! Readable texts for the errors of rustls. Its own texts contain the names of
//! Rust enum variants, and unescaped names from certificates.

use core::fmt::Debug;

use rustls::{AlertDescription, CertificateError, Error};

/// The text of an error.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(bad) => {
            format!("invalid certificate of the server: {}", certificate(bad))
        }
        Error::AlertReceived(AlertDescription::Unknown(number)) => {
            format!("the server sends an alert: number {number}")
        }
        Error::AlertReceived(alert) => format!("the server sends an alert: {}", named(alert)),
        Error::InvalidMessage(what) => format!("the server does not speak TLS: {}", named(what)),
        Error::InappropriateMessage { got_type, .. } => {
            format!("the server sends an unexpected message: {}", named(got_type))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            format!("the server sends an unexpected message: {}", named(got_type))
        }
        Error::PeerIncompatible(why) => format!("the server is incompatible: {}", named(why)),
        Error::PeerMisbehaved(why) => format!("the server misbehaves: {}", named(why)),
        Error::InvalidCertRevocationList(why) => {
            format!("invalid list of revoked certificates: {}", named(why))
        }
        Error::InvalidEncryptedClientHello(why) => {
            format!("invalid encrypted hello: {}", named(why))
        }
        Error::InconsistentKeys(why) => format!("inconsistent keys: {}", named(why)),
        other => other.to_string(),
    }
}

fn certificate(bad: &CertificateError) -> String {
    match bad {
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<String> =
                presented.iter().take(8).map(|name| format!("{:?}", inner(name))).collect();
            let presented = match presented.len() {
                0 => "for no name".to_owned(),
                _ => format!("for {}", presented.join(", ")),
            };
            format!("not valid for name {:?}, only {presented}", expected.to_str())
        }
        CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::ExpiredRevocationListContext { .. }
        | CertificateError::InvalidPurposeContext { .. } => bad.to_string(),
        CertificateError::Other(other) => named(&other.0),
        other => named(other),
    }
}

/// The name in `DnsName("name")` and the like.
fn inner(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"'))
}

/// The words of an enum variant's name: `UnknownCA` becomes "unknown CA".
fn named(variant: &impl Debug) -> String {
    let text = format!("{variant:?}");
    let name = text.split(|character: char| !character.is_ascii_alphanumeric()).next();
    let mut words: Vec<String> = Vec::new();
    let mut before = 'A';
    for character in name.unwrap_or_default().chars() {
        match words.last_mut() {
            // Inside a word or an abbreviation.
            Some(word) if !character.is_ascii_uppercase() || before.is_ascii_uppercase() => {
                word.push(character);
            }
            _ => words.push(character.to_string()),
        }
        before = character;
    }
    if words.len() > 1 {
        // rustls appends "Context" to the name of a variant that carries details.
        words.pop_if(|word| word == "Context");
    }
    let abbreviation = |word: &str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
    for word in words.iter_mut().filter(|word| !abbreviation(word)) {
        word.make_ascii_lowercase();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{InvalidMessage, PeerIncompatible};

    #[test]
    fn h115_errors_of_tls_are_in_words() {
        let expected = ServerName::try_from("db").unwrap();
        let presented = vec!["DnsName(\"a\u{1b}[2Jb\")".into(), "IpAddress(10.0.0.1)".into()];
        let name = CertificateError::NotValidForNameContext { expected, presented };
        for (error, wanted) in [
            (CertificateError::UnknownIssuer.into(), "of the server: unknown issuer"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "an alert: unknown CA"),
            (Error::AlertReceived(AlertDescription::HandshakeFailure), ": handshake failure"),
            (Error::AlertReceived(AlertDescription::Unknown(77)), ": number 77"),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), ": invalid content type"),
            (InvalidMessage::MissingData("X").into(), ": missing data"),
            (
                PeerIncompatible::NoCipherSuitesInCommon.into(),
                "incompatible: no cipher suites in common",
            ),
            (name.into(), r#"not valid for name "db", only for "a\u{1b}[2Jb", "10.0.0.1""#),
        ] {
            let text = words(&error);
            assert!(text.ends_with(wanted), "{text}");
            assert!(text.chars().all(crate::text::is_printable), "{text:?}");
        }
    }
}
