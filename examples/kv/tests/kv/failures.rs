//! Nodes that die, freeze, move or send invalid replies: no write is lost.

use super::*;

#[test]
fn a_node_that_is_killed_and_comes_back_loses_nothing() {
    let bench = Bench::new(3);
    let tally = bench.load(|progress| (0..3).for_each(|_| bench.die(2, progress)));
    nothing_lost(&tally);
}

#[test]
fn a_node_that_freezes_and_wakes_loses_nothing() {
    let bench = Bench::new(3);
    let tally = bench.load(|progress| {
        bench.freeze(1, progress);
        bench.freeze(1, progress);
    });
    nothing_lost(&tally);
    let failures: u64 =
        bench.counts.all().iter().map(|(_, count)| count.failures.load(Ordering::Relaxed)).sum();
    assert!(failures > 0, "no command was waiting for the node");
}

#[test]
fn a_node_that_moves_is_used_at_its_new_address() {
    let bench = Bench::new(3);
    let id = bench.id(3);
    let tally = bench.load(|progress| {
        let port = bench.sim.move_node(3, 0).unwrap();
        wait_until("the new address", || {
            bench.address_in_map(id).is_some_and(|address| address.port() == port)
        });
        bench.settle();
        bench.sim.take_commands().unwrap();
        go_on(progress);
        let log = bench.sim.take_commands().unwrap();
        assert!(log.iter().any(|command| command.number == 3), "no command went there");
    });
    nothing_lost(&tally);
}

#[test]
fn without_any_node_operations_end_with_an_error_in_time() {
    let mut bench = Bench::new(2);
    bench.settings.total_timeout = Duration::from_millis(300);
    let mut store = bench.store();
    store.put(1, &Bins::new()).unwrap();
    for number in [1, 2] {
        bench.sim.kill(number).unwrap();
    }
    let begun = Instant::now();
    for key in 0..5 {
        let error = store.put(key, &Bins::new()).unwrap_err();
        let KvError::GaveUp { after, .. } = error else { panic!("{error}") };
        assert!(after >= bench.settings.total_timeout, "{error}");
        assert!(error.to_string().contains("BB9"), "no node is named: {error}");
    }
    // Five operations of 0.3 s, each of which may begin one more attempt before that
    // time. The bound is ten times that, and far less than any of them would take
    // without a limit.
    assert!(begun.elapsed() < Duration::from_secs(30));
    // A frozen node may still execute the write; one that refuses connections can't.
    assert!(!store.put(1, &Bins::new()).unwrap_err().in_doubt());
    bench.sim.start_node(1).unwrap();
    bench.settle();
    wait_until("the node is back", || store.put(1, &Bins::new()).is_ok());
    bench.sim.freeze(1).unwrap();
    assert!(store.put(1, &Bins::new()).unwrap_err().in_doubt());
    assert!(!store.get(1).unwrap_err().in_doubt(), "a read changes nothing");
}

#[test]
fn h105_a_command_is_tried_until_its_time_is_up() {
    let mut bench = Bench::new(1);
    bench.settings.total_timeout = LONG;
    let mut store = bench.store();
    store.put(1, &Bins::new()).unwrap();
    bench.sim.kill(1).unwrap();
    let failures = || -> u64 {
        bench.counts.all().iter().map(|(_, count)| count.failures.load(Ordering::Relaxed)).sum()
    };
    thread::scope(|scope| {
        let put = scope.spawn(|| store.put(2, &Bins::new()));
        // More tries than a fixed number of retries would allow.
        wait_until("many tries", || failures() > 20);
        bench.sim.start_node(1).unwrap();
        put.join().unwrap().unwrap();
    });
}

#[test]
fn h105_a_failed_exchange_has_the_map_right_long_before_the_next_tend() {
    let bench = Bench::new(3);
    bench.settle();
    wait_until("the whole map", || bench.client.map().unwrap().map.nodes.len() == 3);
    // The next regular pass is far off, and a quarter of the interval is over, so
    // that the owner may be asked to tend.
    let interval = Duration::from_secs(40);
    bench.client.set_tend_interval(interval).unwrap();
    let status = || bench.client.status().unwrap();
    wait_until("the interval", || status().tend_interval == Some(interval));
    let quarter = interval / 4;
    let age = || status().tended_age.unwrap();
    wait_until("the quarter", || age() > quarter);
    let tends = status().tends;
    bench.sim.kill(3).unwrap();
    bench.settle();
    assert_eq!((status().tends, bench.client.map().unwrap().map.nodes.len()), (tends, 3));
    let mut store = bench.store();
    let mut commands = 0;
    while bench.client.map().unwrap().map.nodes.len() == 3 {
        store.put(commands, &Bins::new()).unwrap();
        commands += 1;
        assert!(commands < 1_000_000 && age() < interval, "no tend was requested");
    }
    // The requested pass has done it, not the regular one.
    assert!(status().tends <= tends + 2, "{} after {tends}", status().tends);
}

#[test]
fn h105_reads_ask_for_all_copies() {
    let digest = Digest::of("kv", 1);
    let bins = Bins::new();
    for (command, wanted) in [
        (wire::Command::Get, 0b100_0011),
        (wire::Command::Put(&bins), 0),
        (wire::Command::Delete, 0),
    ] {
        let mut message = Vec::new();
        wire::encode(&mut message, "test", "kv", &digest, command, LONG).unwrap();
        assert_eq!(message[wire::HEADER + 1], wanted, "{command:?}");
    }
}

/// A server that receives a command and replies with these bytes.
fn answering(bytes: Vec<u8>) -> (SocketAddr, thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let mut accepted = 0;
        for stream in listener.incoming().take(2) {
            accepted += 1;
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&bytes).unwrap();
            // Until the client closes the connection.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        accepted
    };
    (address, thread::spawn(serve))
}

#[test]
fn a_connection_with_a_reply_that_is_none_is_not_used_again() {
    let header = |length: u64, kind| {
        let mut bytes = length.to_be_bytes();
        (bytes[0], bytes[1]) = (2, kind);
        bytes.to_vec()
    };
    let two = [header(22, 3), vec![0; 22], header(22, 3), vec![0; 22]].concat();
    let bad_bins = [header(22, 3), vec![0; 21], vec![1]].concat();
    for (bytes, why) in [
        (header(22, 1), "another version or type"),
        (header(1 << 40, 3), "an invalid length"),
        (bad_bins, "a truncated body"),
        (header(22, 3), "no answer in time"),
        (two, "more than one reply"),
    ] {
        let (address, server) = answering(bytes);
        let node = Node::new(NodeId::new("A").unwrap(), address);
        let mut pool = Pool::new(&node, &Access::default(), &Counts::default());
        for _ in 0..2 {
            let until = Instant::now()
                + Duration::from_millis(if why.contains("time") { 100 } else { 10_000 });
            let broken = pool.exchange(&[0; 8], until).unwrap_err();
            assert!(broken.sent && broken.problem.contains(why), "{broken}, not {why}");
        }
        assert_eq!(server.join().unwrap(), 2, "a new connection each time");
    }
}
