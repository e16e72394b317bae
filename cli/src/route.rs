//! `tendmap route`: which nodes hold a key.

use serde_json::{Value, json};
use tendmap::client::Reader;
use tendmap::map::Node;
use tendmap::route::{Attempt, Digest, Key, Policy, Router};

use crate::args::Common;
use crate::failure::Failure;
use crate::flags::{Flags, Preferred};
use crate::output::{Output, table, write_table};

/// The flags of `tendmap route`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The namespace.
    #[arg(long, value_name = "N")]
    namespace: String,
    /// The set; without the flag, none.
    #[arg(long, value_name = "S", default_value = "", hide_default_value = true)]
    set: String,
    #[command(flatten)]
    preferred: Flags<Preferred>,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct KeyArgs {
    /// An integer key.
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    int: Option<i64>,
    /// A string key.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    str: Option<String>,
    /// A key of bytes, as hexadecimal digits.
    #[arg(long, value_name = "KEY", value_parser = hex)]
    hex: Option<Bytes>,
    /// A floating point key.
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    double: Option<f64>,
    /// A digest of 40 hexadecimal digits, instead of a key and a set.
    #[arg(long, value_name = "KEY", conflicts_with = "set")]
    digest: Option<Digest>,
}

#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

fn hex(text: &str) -> Result<Bytes, String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes.map(Bytes).ok_or_else(|| "wanted an even number of hexadecimal digits".to_owned())
}

impl KeyArgs {
    fn digest(&self, set: &str) -> Result<Digest, Failure> {
        let key = match self {
            KeyArgs { digest: Some(digest), .. } => return Ok(*digest),
            KeyArgs { int: Some(key), .. } => Key::from(*key),
            KeyArgs { str: Some(key), .. } => Key::from(key),
            KeyArgs { hex: Some(key), .. } => Key::from(&key.0),
            KeyArgs { double: Some(key), .. } => Key::from(*key),
            _ => return Err(Failure::Usage("no key; give --int, --str, --hex or --digest".into())),
        };
        Ok(Digest::of(set, key))
    }
}

/// The nodes of a key.
struct Answer {
    digest: Digest,
    partition: usize,
    /// The holder of each replica, the master first; `None` without a holder.
    replicas: Vec<Option<Node>>,
    /// The node for a read that prefers racks.
    preferred: Option<Node>,
}

/// Routes the key.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let digest = args.key.digest(&args.set)?;
    let reader = Reader::look(&common.place())?;
    let racks = args.preferred.config().preferred_racks;
    reader.set_preferred_racks(&racks);
    let mut router = reader.router();
    let mut answer = ask(&mut router, &args.namespace, digest)?;
    if !racks.is_empty() {
        let handle = router.namespace(&args.namespace)?;
        answer.preferred = Some(*router.route(handle, digest, Policy::PreferRack)?.node());
    }
    output.answer(
        || answer.json(),
        |out| {
            writeln!(out, "digest     {}", answer.digest)?;
            writeln!(out, "partition  {}", answer.partition)?;
            let mut replicas = table(["replica", "node", "address"], &[]);
            for (number, node) in answer.replicas.iter().enumerate() {
                let what = if number == 0 { "master".to_owned() } else { number.to_string() };
                let (id, address) = match node {
                    Some(node) => (node.id.to_string(), node.address.to_string()),
                    None => ("-".to_owned(), "-".to_owned()),
                };
                replicas.add_row([what, id, address]);
            }
            write_table(out, &replicas)?;
            match answer.preferred {
                Some(Node { id, address, .. }) => writeln!(out, "\nread from {id} at {address}"),
                None => Ok(()),
            }
        },
    )?;
    Ok(())
}

/// Looks up all replicas in one publication, with the router that clients use.
fn ask(router: &mut Router, namespace: &str, digest: Digest) -> Result<Answer, Failure> {
    let handle = router.namespace(namespace)?;
    let partition = digest.partition(router.partitions());
    let slots = router.pin(|pinned| {
        (0..pinned.replicas(handle)?)
            .map(|replica| {
                // The first attempt that starts at this replica goes to its
                // holder, if there is one.
                let attempt = Attempt::new(Policy::Sequence, replica as u32);
                let chosen = pinned.select(handle, partition, &attempt)?;
                Ok(chosen.filter(|&(found, _)| found == replica).map(|(_, slot)| slot))
            })
            .collect::<Result<Vec<_>, _>>()
    })?;
    let node = |slot: Option<_>| router.node(slot?).copied();
    let replicas = slots.into_iter().map(node).collect();
    Ok(Answer { digest, partition, replicas, preferred: None })
}

impl Answer {
    fn json(&self) -> Value {
        let node = |node: &Option<Node>| {
            let Node { id, address, .. } = node.as_ref()?;
            Some(json!({ "node": id.as_str(), "address": address }))
        };
        let mut answer = json!({
            "digest": self.digest.to_hex(),
            "partition": self.partition,
            "master": self.replicas.first().and_then(node),
            "replicas": self.replicas.iter().map(node).collect::<Vec<_>>(),
        });
        if self.preferred.is_some() {
            answer["preferred"] = node(&self.preferred).into();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_from_hexadecimal_digits() {
        assert_eq!(hex("00fF").unwrap().0, [0, 255]);
        assert!(hex("").unwrap().0.is_empty());
        for text in ["0", "0x00", "+1", "zz", "é"] {
            assert!(hex(text).is_err(), "{text}");
        }
    }
}
