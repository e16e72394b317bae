//! A small database client over tendmap: put, get and delete of records, with a pool
//! of connections for each node and retries along the replicas. It is the pattern to
//! copy (`store.rs` above all), with a load that checks that no acknowledged write is
//! lost. Run it against a cluster, or against `tendmap sim`, and kill, freeze or move
//! nodes meanwhile. (If you freeze a real node, in a namespace without strong
//! consistency, it may print LOST for a record that is only missed for a while:
//! `store.rs` explains why.)
//!
//! ```text
//! cargo run --release -- sim --base-port 3100
//! cargo run --release --example kv -- 127.0.0.1:3100 --namespace test
//! ```
//!
//! `access.rs` has what a secured cluster adds to each connection, login and TLS. The
//! flags are those of the command line:
//!
//! ```text
//! TENDMAP_PASSWORD=… cargo run --release --example kv -- db1:cluster-a:4333 \
//!     --user keeper --tls-cafile ca.pem --tls-certfile me.pem --tls-keyfile me.key
//! ```

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tendmap::WipingAllocator;
use tendmap::client::Client;
use tendmap::map::NodeId;

use tendmap_kv::access::Access;
use tendmap_kv::flags::Args;
use tendmap_kv::load::{Tally, run};
use tendmap_kv::pool::Counts;
use tendmap_kv::store::Store;

/// Passwords pass through the memory of parsers and of TLS.
#[global_allocator]
static WIPING: WipingAllocator = WipingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let config = args.config()?;
    let access = Access::new(&config)?;
    let client = Client::connect(config)?;
    println!("connected as {}", client.role());
    let settings = args.settings();
    let (counts, stop, progress) = (Counts::default(), AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let tally = thread::scope(|scope| -> Result<Tally, Box<dyn Error>> {
        let mut workers = Vec::new();
        for number in 0..args.threads {
            // A store and its router belong to one thread.
            let (namespace, set) = (&args.namespace, &args.set);
            let mut store = Store::new(&client, namespace, set, settings, &access, &counts)?;
            let (stop, progress) = (&stop, &progress);
            workers.push(scope.spawn(move || run(&mut store, number, stop, progress)));
        }
        let mut before = Seen::default();
        for _ in 0..args.seconds {
            thread::sleep(Duration::from_secs(1));
            before = tell(begun, &progress, &counts, before);
        }
        stop.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        workers.into_iter().for_each(|worker| tally.add(worker.join().expect("a worker")));
        Ok(tally)
    })?;
    report(&tally, begun.elapsed(), &counts);
    client.close();
    match tally.lost.len() {
        0 => Ok(()),
        lost => Err(format!("{lost} acknowledged writes were lost").into()),
    }
}

/// The last printed counts.
#[derive(Default)]
struct Seen {
    operations: u64,
    commands: Vec<(NodeId, u64)>,
}

/// One line per second: operations, and commands for each node.
fn tell(begun: Instant, progress: &AtomicU64, counts: &Counts, before: Seen) -> Seen {
    let operations = progress.load(Ordering::Relaxed);
    let commands: Vec<(NodeId, u64)> = counts
        .all()
        .iter()
        .map(|(id, count)| (*id, count.commands.load(Ordering::Relaxed)))
        .collect();
    print!(
        "{:>6.1} s {:>8} operations ",
        begun.elapsed().as_secs_f64(),
        operations - before.operations
    );
    for (id, now) in &commands {
        let earlier =
            before.commands.iter().find(|(known, _)| known == id).map_or(0, |known| known.1);
        print!("  {id}: {}", now - earlier);
    }
    println!();
    Seen { operations, commands }
}

fn report(tally: &Tally, elapsed: Duration, counts: &Counts) {
    let seconds = elapsed.as_secs_f64();
    let Tally { puts, gets, deletes, failed, in_doubt, slowest, .. } = tally;
    println!();
    println!(
        "{} operations in {seconds:.1} s: {:.0} per second",
        tally.operations(),
        tally.operations() as f64 / seconds
    );
    println!("puts {puts}, gets {gets}, deletes {deletes}, slowest {slowest:.1?}");
    println!(
        "failed with an error {failed}, done but in doubt {in_doubt}, lost {}",
        tally.lost.len()
    );
    println!();
    println!(
        "{:<20} {:>10} {:>10} {:>10} {:>12}",
        "node", "commands", "a second", "failures", "connections"
    );
    for (id, count) in counts.all() {
        let [commands, failures, connections] =
            [&count.commands, &count.failures, &count.connections]
                .map(|count| count.load(Ordering::Relaxed));
        let rate = commands as f64 / seconds;
        println!(
            "{:<20} {commands:>10} {rate:>10.0} {failures:>10} {connections:>12}",
            id.as_str()
        );
    }
    for error in tally.errors.iter().take(5) {
        println!("error: {error}");
    }
    for lost in tally.lost.iter().take(20) {
        println!("LOST: {lost}");
    }
}
