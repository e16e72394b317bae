//! Requests, valid and malformed.

use std::io::{Read, Write};

use tendmap::sim::{Sim, SimConfig};

use crate::client::{Client, frame};

fn one_node() -> (Sim, Client) {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let client = Client::of(&sim, 1);
    (sim, client)
}

#[test]
fn commands_are_answered_in_order_each_under_its_own_text() {
    let (_sim, mut client) = one_node();
    let body = client.body("build\npartitions\nnonsense\nbuild\n");
    assert_eq!(
        body,
        "build\t8.1.2.0\npartitions\t4096\nnonsense\tERROR:4:unrecognized command\nbuild\t8.1.2.0\n"
    );
}

#[test]
fn several_requests_at_once_are_answered_one_by_one() {
    let (_sim, mut client) = one_node();
    let requests: Vec<u8> = (0..100)
        .flat_map(|_| [frame(2, 1, b"build\n"), frame(2, 1, b"partitions\n")])
        .flatten()
        .collect();
    client.stream.write_all(&requests).unwrap();
    for _ in 0..100 {
        assert_eq!(client.receive().unwrap().1, b"build\t8.1.2.0\n");
        assert_eq!(client.receive().unwrap().1, b"partitions\t4096\n");
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let (_sim, mut client) = one_node();
    client.stream.set_nodelay(true).unwrap();
    for byte in frame(2, 1, b"build\n") {
        client.stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.receive().unwrap().1, b"build\t8.1.2.0\n");
}

#[test]
fn a_command_without_its_newline_is_ignored() {
    let (_sim, mut client) = one_node();
    assert_eq!(client.body("build"), "");
    assert_eq!(client.body("partitions\nbuild"), "partitions\t4096\n");
    assert_eq!(client.body(""), "");
}

#[test]
fn upper_case_and_carriage_returns_are_errors() {
    let (_sim, mut client) = one_node();
    assert_eq!(client.body("BUILD\n"), "BUILD\tERROR:4:unrecognized command\n");
    assert_eq!(client.body("build\r\n"), "build\r\tERROR:4:unrecognized command\n");
}

#[test]
fn another_version_or_type_closes_the_connection_without_a_reply() {
    let (sim, _) = one_node();
    for bytes in [frame(1, 1, b"build\n"), frame(2, 9, b"build\n"), frame(0, 0, b"")] {
        let mut client = Client::of(&sim, 1);
        client.stream.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        // A reset is as good as an orderly end.
        let _ = client.stream.read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
}

#[test]
fn a_request_of_absurd_length_closes_the_connection() {
    let (_sim, mut client) = one_node();
    client.stream.write_all(&[2, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap();
    assert!(client.receive().is_err());
}

#[test]
fn login_finds_that_security_is_off() {
    let (_sim, mut client) = one_node();
    let mut login = [0; 16];
    login[2] = 20;
    client.stream.write_all(&frame(2, 2, &login)).unwrap();
    let (kind, body) = client.receive().unwrap();
    assert_eq!((kind, body.len(), body[1]), ([2, 2], 16, 52));
}
