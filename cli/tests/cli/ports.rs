//! `tendmap check` with misleading ports, and with conditions that pass.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, Place};

fn check(hosts: &[String], more: &[&str]) -> Answer {
    let mut args = vec!["check", "--json"];
    args.extend(hosts.iter().flat_map(|host| ["--host", host]));
    args.extend(more);
    Place::new().run(&args)
}

fn problems(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    json["problems"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().into()).collect()
}

/// Opens another port of a node that gives the same replies, as an admin port or a
/// forwarder does.
fn another_port_of(node: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(node) else { continue };
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    address
}

/// A cluster of one node that answers by this function.
fn lone(answer: impl Fn(&str, SocketAddr) -> String + Send + Sync + 'static) -> SocketAddr {
    lone_at("127.0.0.1:0".parse().unwrap(), answer)
}

/// As `lone`, at a given address.
fn lone_at(
    at: SocketAddr,
    answer: impl Fn(&str, SocketAddr) -> String + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(at).unwrap();
    let (address, answer) = (listener.local_addr().unwrap(), Arc::new(answer));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || -> io::Result<()> {
                loop {
                    let mut header = [0; 8];
                    stream.read_exact(&mut header)?;
                    header[..2].fill(0);
                    let mut body = vec![0; u64::from_be_bytes(header) as usize];
                    stream.read_exact(&mut body)?;
                    let text = String::from_utf8_lossy(&body).into_owned();
                    let reply: String = text
                        .lines()
                        .map(|line| format!("{line}\t{}\n", answer(line, address)))
                        .collect();
                    let mut header = (reply.len() as u64).to_be_bytes();
                    header[..2].copy_from_slice(&[2, 1]);
                    stream.write_all(&[&header[..], reply.as_bytes()].concat())?;
                }
            });
        }
    });
    address
}

/// The replies of a single node to all commands except `replicas`.
fn plain(command: &str, address: SocketAddr) -> String {
    match command {
        "node" => "A1".into(),
        "build" => "8.1.2.0".into(),
        "edition" => "Aerospike Community Edition".into(),
        "cluster-name" => "lab".into(),
        "partition-generation" | "peers-generation" | "rebalance-generation" => "1".into(),
        "peers-clear-std" => "1,3000,[]".into(),
        "service-clear-std" => address.to_string(),
        "service-clear-alt" => String::new(),
        _ => "ERROR:4:unrecognized command".into(),
    }
}

/// Claims of all partitions, or all except the first.
fn replicas(whole: bool) -> String {
    use base64::Engine as _;
    let mut bytes = [255; 512];
    if !whole {
        bytes[0] = 0x7f;
    }
    format!("test:0,1,{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[test]
fn h62_a_port_that_is_not_the_service_port_is_told_and_not_used() {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let service = sim.seeds()[0];
    let admin = another_port_of(service);
    let answer = check(&[admin.to_string()], &[]);
    assert_eq!(answer.code(), 1, "{} {}", answer.stdout(), answer.stderr());
    let told = problems(&answer);
    assert!(told.len() == 1 && told[0].starts_with(&format!("host {admin}: node ")), "{told:?}");
    assert!(told[0].contains(&service.to_string()) && told[0].contains("admin port"), "{told:?}");
    let json = answer.json();
    let used: Vec<_> =
        json["nodes"].as_array().unwrap().iter().map(|node| &node["address"]).collect();
    assert!(used.contains(&&json!(service)) && !used.contains(&&json!(admin)), "{used:?}");
    // The tender uses the node's own address, too, although it is on the loopback.
    let place = Place::new();
    let mut tend = crate::tool::Running::start(&mut place.command(&[
        "tend",
        "--json",
        "--host",
        &admin.to_string(),
    ]));
    tend.until("connected");
    let members = crate::tool::reader(&place).status().unwrap().members;
    assert!(members.iter().any(|node| node.address == service), "{members:?}");
    assert!(members.iter().all(|node| node.address != admin), "{members:?}");
}

#[test]
fn h62_the_service_port_itself_is_no_problem() {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    let answer = check(&hosts, &[]);
    assert_eq!((answer.code(), problems(&answer)), (0, vec![]));
    let by_name = format!("localhost:{}", sim.seeds()[0].port());
    let answer = check(&[by_name], &["--connect-timeout", "5s"]);
    assert!(
        problems(&answer).iter().all(|told| !told.contains("serves clients")),
        "{}",
        answer.stdout()
    );
}

#[test]
fn h63_a_hole_that_the_next_look_closes_is_no_problem_and_one_that_stays_is() {
    for stays in [false, true] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let node = lone(move |command, address| match command {
            "replicas" => replicas(counter.fetch_add(1, Ordering::Relaxed) > 0 && !stays),
            _ => plain(command, address),
        });
        let answer = check(&[node.to_string()], &[]);
        let told = problems(&answer);
        assert_eq!((answer.code(), told.len()), (stays.into(), stays.into()), "{told:?}");
        assert!(told.iter().all(|told| told.contains("1 partitions without a master")), "{told:?}");
        assert!(asked.load(Ordering::Relaxed) >= 2, "it looked again");
    }
}

#[test]
fn h64_a_frozen_host_is_waited_for_once() {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    // The kernel accepts connections, but no server answers.
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = frozen.local_addr().unwrap();
    for hosts in [vec![address, sim.seeds()[0]], vec![address]] {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let answer = check(&hosts, &[]);
        assert_eq!(answer.json()["would_tend"], hosts.len() > 1);
        assert!(answer.stdout().contains("no answer within"), "{}", answer.stdout());
        frozen.set_nonblocking(true).unwrap();
        let tries = std::iter::from_fn(|| frozen.accept().ok()).count();
        assert_eq!(tries, 1, "each try would cost a timeout");
    }
}

#[test]
fn h61_servers_without_alternate_addresses_are_told_with_their_setting() {
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    let host = sim.seeds()[0].to_string();
    let answer = check(std::slice::from_ref(&host), &["--use-services-alternate"]);
    assert_eq!(answer.code(), 6, "{}", answer.stdout());
    for wanted in ["alternate-access-address", "network.service", "2 peers"] {
        assert!(answer.stderr().contains(wanted), "no {wanted} in {}", answer.stderr());
    }
    let one = lone(|command, address| match command {
        "replicas" => replicas(true),
        "peers-clear-alt" => "1,3000,[]".into(),
        _ => plain(command, address),
    });
    let answer = check(&[one.to_string()], &["--use-services-alternate"]);
    assert_eq!(answer.code(), 1, "{}", answer.stdout());
    let told = problems(&answer);
    assert!(told.len() == 1 && told[0].contains("set alternate-access-address"), "{told:?}");
    // The same at the start of a tender.
    let place = Place::new();
    let failed = place.run(&["tend", "--host", &host, "--use-services-alternate"]);
    assert!(
        failed.code() != 0 && failed.stderr().contains("alternate-access-address"),
        "{}",
        failed.stderr()
    );
}

/// A link-local address of this machine, and the name of its interface.
fn link_local() -> Option<(SocketAddrV6, String)> {
    let text = fs::read_to_string("/proc/net/if_inet6").ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let ip = u128::from_str_radix(words.next()?, 16).ok()?;
        let index = u32::from_str_radix(words.next()?, 16).ok()?;
        let (is_link, name) = (words.nth(1)? == "20", words.nth(1)?);
        let address = SocketAddrV6::new(ip.into(), 0, 0, index);
        (is_link && TcpListener::bind(address).is_ok()).then(|| (address, name.to_owned()))
    })
}

#[test]
fn h58_a_cluster_at_link_local_addresses_is_tended() {
    let Some((address, interface)) = link_local() else {
        tendmap_testkit::skipped("this machine has no link-local IPv6 address");
        return;
    };
    let own = format!("[{}%{interface}]", address.ip());
    let service = own.clone();
    let node = lone_at(address.into(), move |command, at| match command {
        "replicas" => replicas(true),
        "service-clear-std" => format!("{service}:{}", at.port()),
        _ => plain(command, at),
    });
    let host = format!("{own}:{}", node.port());
    let answer = check(std::slice::from_ref(&host), &[]);
    assert_eq!((answer.code(), problems(&answer)), (0, vec![]), "{}", answer.stderr());
    let used = SocketAddrV6::new(*address.ip(), node.port(), 0, address.scope_id());
    assert_eq!(answer.json()["nodes"][0]["address"], json!(SocketAddr::from(used)));
    let place = Place::new();
    let args = ["tend", "--json", "--host", &host];
    let mut tend = crate::tool::Running::start(&mut place.command(&args));
    tend.until("connected");
    let members = crate::tool::reader(&place).status().unwrap().members;
    assert_eq!(members[0].address, SocketAddr::from(used), "the scope is in the map, too");
}
