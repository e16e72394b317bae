//! `tendmap metrics --listen`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use tendmap::sim::{Sim, SimConfig};

use super::{assert_judged, promtool, sum};
use crate::tool::{PATIENCE, Place, Running, wait_until};

/// `metrics --listen`, and its address.
fn listening(place: &Place, address: &str) -> (Running, SocketAddr) {
    let mut running =
        Running::start(&mut place.command(&["metrics", "--json", "--listen", address]));
    let at = running.until("listening")["address"].as_str().unwrap().parse().unwrap();
    (running, at)
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The answer to a request; empty if the connection is closed without one.
fn request(at: SocketAddr, text: &str) -> String {
    let mut stream = connect(at);
    let _ = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(at: SocketAddr, path: &str) -> (String, String) {
    let answer = request(at, &format!("GET {path} HTTP/1.1\r\nHost: host\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    (head.to_lowercase(), body.to_owned())
}

#[test]
fn the_metrics_are_served_until_sigterm() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let _owner = place.tend(&sim, &[]);
    let (mut running, at) = listening(&place, "127.0.0.1:0");
    let (head, body) = get(at, "/metrics");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert_eq!(sum(&body, &["tendmap_owner_alive"]), Some(1.0));
    if promtool() {
        assert_judged(&body);
    }
    let (head, body) = get(at, "/");
    assert!(head.starts_with("http/1.1 200") && body.contains("href=\"/metrics\""), "{head}");
    assert_eq!(get(at, "/-/healthy").1, "ok\n");
    assert!(get(at, "/other").0.starts_with("http/1.1 404"));
    let posted = request(at, "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
    let only_head = request(at, "HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(only_head.starts_with("HTTP/1.1 200") && only_head.ends_with("\r\n\r\n"));
    // The address is in use.
    let second = place.run(&["metrics", "--listen", &at.to_string()]);
    assert_eq!(second.code(), 6);
    assert!(second.stderr().contains("in use") && second.stderr().contains(&at.to_string()));
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end(), 0);
}

#[test]
fn the_metrics_are_served_over_ipv6() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        return tendmap_testkit::skipped(&format!("this machine has no IPv6 loopback: {error}"));
    }
    let place = Place::new();
    let (_running, at) = listening(&place, "[::1]:0");
    assert!(get(at, "/metrics").1.contains("tendmap_segments 0"));
}

#[test]
fn a_directory_that_can_not_be_read_is_an_error_of_the_scrape_not_the_end() {
    let place = Place::new();
    let (mut running, at) = listening(&place, "127.0.0.1:0");
    let moved = place.path().with_extension("moved");
    std::fs::rename(place.path(), &moved).unwrap();
    std::fs::write(place.path(), "a file").unwrap();
    let (head, body) = get(at, "/metrics");
    std::fs::remove_file(place.path()).unwrap();
    std::fs::rename(&moved, place.path()).unwrap();
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(body.contains(place.path().to_str().unwrap()), "{body}");
    wait_until("metrics again", || get(at, "/metrics").0.starts_with("http/1.1 200"));
    assert_eq!(running.interrupt(), 0);
}

#[test]
fn h141_clients_that_are_slow_or_send_anything_keep_no_scrape_waiting() {
    let place = Place::new();
    let (mut running, at) = listening(&place, "127.0.0.1:0");
    // More than the server keeps: some send half a request, some nothing.
    let half = |number: usize| {
        let mut stream = connect(at);
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ");
        }
        stream
    };
    let mut slow: Vec<TcpStream> = (0..200).map(half).collect();
    assert!(get(at, "/metrics").1.contains("tendmap_segments 0"));
    // The oldest were closed for the newest: before this answer, which came later.
    assert!(get(at, "/metrics").1.contains("tendmap_segments 0"));
    let is_closed = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0; 16]);
        !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let closed = slow.iter_mut().map(is_closed).filter(|closed| *closed).count();
    assert!(closed >= 136, "{closed} of 200");
    // One that asks and does not read, over and over.
    for _ in 0..100 {
        let mut stream = connect(at);
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5000));
    let mut random = fastrand::Rng::with_seed(141);
    let noise: String = (0..4096).map(|_| random.char(..)).collect();
    for text in [&long, &many, &noise, "\0\0\0\0\r\n\r\n", "GET\r\n\r\n", ""] {
        let mut stream = connect(at);
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(get(at, "/metrics").1.contains("tendmap_segments 0"));
    }
    drop(slow);
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end(), 0);
}

#[test]
fn h141_a_client_that_sends_no_more_gets_its_answer() {
    let place = Place::new();
    let (mut running, at) = listening(&place, "127.0.0.1:0");
    // As `nc -N`: all is read by the server before it answers.
    for _ in 0..10 {
        let mut stream = connect(at);
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('\n'), "{answer:?}");
    }
    assert_eq!(running.interrupt(), 0);
}
