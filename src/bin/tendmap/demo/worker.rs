//! A worker process of the demo: it connects, routes keys as fast as it is
//! allowed to, and checks every answer against the publication it came from.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use tendmap::client::{Client, Event, Observer, Role};

use super::check::Checker;
use super::message::Message;
use super::stage;
use crate::args::Common;
use crate::failure::Failure;
use crate::tend::Args;

/// How often a worker reports.
pub const REPORT: Duration = Duration::from_millis(200);
/// The pause after each burst of lookups, so that many workers leave a small
/// machine some room.
const PAUSE: Duration = Duration::from_millis(5);

/// Works until standard input ends, as it does when the parent dies.
///
/// # Errors
/// [`Failure`] if it can't connect.
pub fn run(common: &Common, args: &Args) -> Result<(), Failure> {
    // Sockets that were inherited are not the worker's doing.
    let inherited = sockets();
    let stop = Arc::new(AtomicBool::new(false));
    watch_parent(stop.clone());
    let (to, lines) = mpsc::channel();
    let writer = thread::spawn(move || write(&lines));
    let mut config = args.config(common);
    let observed = std::sync::Mutex::new(to.clone());
    config.observer = Some(Observer::new(move |event| {
        if let (Event::Owner { term, takeover, .. }, Ok(to)) = (event, observed.lock()) {
            let _ = to.send(Message::Owner { term: *term, takeover: *takeover });
        }
    }));
    let client = Client::connect(config)?;
    let _ = to.send(Message::Ready);
    let mut checker = Checker::new(&client);
    let mut follower_sockets = 0;
    let mut due = Instant::now();
    // Relaxed: it stands for itself.
    while !stop.load(Ordering::Relaxed) && !writer.is_finished() {
        checker.burst();
        if Instant::now() >= due {
            due = Instant::now() + REPORT;
            checker.read_whole();
            let role = client.role();
            let open = sockets().saturating_sub(inherited);
            // A role that is the same before and after was it at the count.
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
    // A parent that was killed could not do it; it works only once all the
    // others have gone.
    if common.directory.file_name().is_some_and(stage::is_own) {
        let _ = std::fs::remove_dir(&common.directory);
    }
    Ok(())
}

/// Standard input ends when the parent closes it, or dies.
fn watch_parent(stop: Arc<AtomicBool>) {
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        while matches!(input.read(&mut [0; 64]), Ok(1..)) {}
        stop.store(true, Ordering::Relaxed);
    });
}

fn write(lines: &Receiver<Message>) -> io::Result<()> {
    for line in lines {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

/// How many sockets this process has open.
fn sockets() -> usize {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let leads = |entry: io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    let socket = |target: &std::path::PathBuf| target.to_string_lossy().starts_with("socket:");
    entries.filter_map(leads).filter(socket).count()
}
