//! Commands on records are written to the log.

use std::io::Write;

use tendmap::sim::{RecordKind, Sim, SimConfig};

use crate::client::{Client, frame};

/// A command without bins: read and write attributes, then namespace, set and digest.
fn command(read: u8, write: u8, digest: [u8; 20]) -> Vec<u8> {
    let mut body = vec![0; 22];
    (body[0], body[1], body[2], body[19]) = (22, read, write, 3);
    for (kind, data) in [(0, &b"test"[..]), (1, b"demo"), (4, &digest)] {
        body.extend((data.len() as u32 + 1).to_be_bytes());
        body.push(kind);
        body.extend(data);
    }
    frame(2, 3, &body)
}

#[test]
fn the_log_tells_which_node_received_what() {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let mut digest = [0xab; 20];
    (digest[0], digest[1]) = (0x34, 0xf2);
    let send = |number: usize, read, write| {
        let mut client = Client::of(&sim, number);
        client.stream.write_all(&command(read, write, digest)).unwrap();
        let (kind, body) = client.receive().unwrap();
        assert_eq!(kind, [2, 3]);
        body[5]
    };
    assert_eq!(send(1, 3, 0), 2, "not found");
    assert_eq!(send(2, 0, 1), 0);
    assert_eq!(send(1, 33, 0), 0, "every node answers for every record");
    assert_eq!(send(1, 0, 3), 0);
    assert_eq!(send(1, 3, 0), 2);
    let log = sim.take_commands().unwrap();
    let seen: Vec<(usize, RecordKind)> =
        log.iter().map(|entry| (entry.number, entry.kind)).collect();
    let wanted = [
        (1, RecordKind::Read),
        (2, RecordKind::Write),
        (1, RecordKind::Exists),
        (1, RecordKind::Delete),
        (1, RecordKind::Read),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(log[0].partition, 0x234);
    assert_eq!((&*log[0].namespace, &*log[0].set), ("test", "demo"));
    assert!(log[0].digest.starts_with("34f2abab"));
    assert!(sim.commands().unwrap().is_empty(), "taken");
}
