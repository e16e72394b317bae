//! A worker process: it connects, routes keys in bursts, and checks every route
//! against the publication that it was read from.

use crossbeam::channel::{Receiver, TryRecvError, unbounded};
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use tendmap::client::{Client, Event, Observer, Role, parse_duration};

use super::check::Checker;
use super::kill_point::die_amid;
use super::message::Message;
use super::stage;
use crate::args::Common;
use crate::failure::Failure;
use crate::tend;

/// The settings of a worker's client, and how often it reports.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "worker")]
pub struct Args {
    #[command(flatten)]
    client: tend::Args,
    /// How often the worker reports and reads the whole map.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = parse_duration)]
    report: Duration,
}

/// The pause after each burst of lookups, so that many workers do not overload a
/// small machine.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the first map may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Works until standard input ends, which also happens when the parent dies.
///
/// # Errors
/// [`Failure`] if it can't connect.
pub fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    // Inherited sockets do not count.
    let inherited = sockets();
    let orders = orders();
    let (to, lines) = unbounded();
    let writer = thread::spawn(move || write(&lines));
    let mut config = args.client.config(common);
    let observed = std::sync::Mutex::new(to.clone());
    config.observer = Some(Observer::new(move |event| {
        if let (Event::Owner { term, takeover, .. }, Ok(to)) = (event, observed.lock()) {
            let _ = to.send(Message::Owner { term: *term, takeover: *takeover });
        }
    }));
    // Without giving up as soon as a connect does: where many workers share a busy processor,
    // each would end before the first map, the owner too.
    let client = Client::start(config)?;
    let begun = Instant::now();
    while !client.has_map() && !writer.is_finished() {
        if let Some(error) = client.refusal() {
            return Err(error.into());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failure::Failed(format!("a worker has no map after {PATIENCE:?}")));
        }
        thread::sleep(PAUSE);
    }
    let _ = to.send(Message::Ready);
    let mut checker = Checker::new(&client);
    let mut follower_sockets = 0;
    let mut due = Instant::now();
    while !writer.is_finished() {
        match orders.try_recv() {
            Ok(Order::Die(random)) => die_amid(&client, &common.place(), random, |message| {
                // Bypasses the writer, which might not get time to write it.
                let _ = write_line(&message);
            }),
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {}
        }
        checker.burst();
        if Instant::now() >= due {
            due = Instant::now() + args.report;
            checker.read_whole();
            let role = client.role();
            let open = sockets().saturating_sub(inherited);
            // A role that is the same before and after the count was also the role
            // during it.
            if role != Role::Owner && client.role() != Role::Owner {
                follower_sockets = open.max(follower_sockets);
            }
            let mut report = checker.report();
            report.role = role.as_str().to_owned();
            report.sockets = open;
            report.follower_sockets = follower_sockets;
            let _ = to.send(Message::Report(report));
        }
        thread::sleep(PAUSE);
    }
    drop(checker);
    client.close();
    // A parent that was killed could not remove the directory. This succeeds only
    // in the last worker.
    let directory = common.place().directory;
    if directory.file_name().is_some_and(stage::is_own) {
        let _ = std::fs::remove_dir(&directory);
    }
    Ok(())
}

/// An order of the parent.
enum Order {
    /// Die in the middle of a publication. The number selects the point.
    Die(u64),
}

/// The parent's orders, one per line. They end with standard input: when the
/// parent closes it, or dies.
fn orders() -> Receiver<Order> {
    let (to, orders) = unbounded();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let random = line.strip_prefix("die ").and_then(|random| random.parse().ok());
            if random.is_some_and(|random| to.send(Order::Die(random)).is_err()) {
                return;
            }
        }
    });
    orders
}

fn write(lines: &Receiver<Message>) -> io::Result<()> {
    lines.iter().try_for_each(|line| write_line(&line))
}

fn write_line(line: &Message) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    writeln!(out)?;
    out.flush()
}

/// The number of open sockets of this process.
fn sockets() -> usize {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let leads = |entry: io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    let socket = |target: &std::path::PathBuf| target.to_string_lossy().starts_with("socket:");
    entries.filter_map(leads).filter(socket).count()
}
