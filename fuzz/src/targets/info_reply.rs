//! A whole reply, including the header.

use tendmap::internals::wire::info::{MAX_REPLY, Reply, body_length};

pub fn run(bytes: &[u8]) {
    let Some((header, body)) = bytes.split_first_chunk::<8>() else { return };
    if let Ok(length) = body_length(*header) {
        assert!(length <= MAX_REPLY);
    }
    let commands = ["node", "peers-generation", "replicas"];
    if let Ok(reply) = Reply::parse(body, &commands) {
        let values: usize =
            commands.iter().filter_map(|command| reply.value(command).ok()).map(<[u8]>::len).sum();
        assert!(values <= body.len());
    }
}
