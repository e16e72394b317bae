//! Text from a command line or a directory: keys, hosts, file names.

use tendmap::internals::segment::parse_users;
use tendmap::route::Digest;
use tendmap::internals::segment::SegmentName;
use tendmap::segment::{Backend, parse_key};
use tendmap::wire::Host;
use tendmap::wire::login::AuthMode;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = parse_key(text) {
        assert_eq!(parse_key(&format!("{key:#x}")), Ok(key));
    }
    if let Ok(name) = text.parse::<SegmentName>() {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host.to_string().parse::<Host>(), Ok(host));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }
    if let Ok(backend) = text.parse::<Backend>() {
        assert_eq!(backend.to_string().parse::<Backend>(), Ok(backend));
    }
    if let Ok(mode) = text.parse::<AuthMode>() {
        assert_eq!(mode.to_string().parse::<AuthMode>(), Ok(mode));
    }
    // No names of users, because they would be looked up in the system.
    if text.bytes().all(|byte| b", 0123456789".contains(&byte))
        && let Ok(users) = parse_users(text)
    {
        let written: Vec<String> = users.iter().map(u32::to_string).collect();
        assert_eq!(parse_users(&written.join(",")), Ok(users));
    }
}
