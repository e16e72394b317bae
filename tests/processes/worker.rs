//! What a worker process does, and the test's side of it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::common::Cluster;
use crate::{outsiders, roles};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tendmap::client::{Client, Config, Event, Observer, Reader};
use tendmap::map::ClusterMap;
use tendmap::route::{Partition, Policy, Router};
use tendmap::segment::{Backend, Created, NotPublished, Place, create, live};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};

const ROLE: &str = "TENDMAP_TEST_WORKER";
/// The trial that a worker is to run.
const TRIAL: &str = "TENDMAP_TEST_TRIAL";

/// What a worker needs to know; everything else is as by default.
#[derive(Clone)]
pub struct Setup {
    pub backend: Backend,
    pub directory: std::path::PathBuf,
    pub key: u32,
    pub hosts: Vec<String>,
    pub tend_ms: u64,
    pub threshold_ms: u64,
    pub max_nodes: usize,
    pub ceiling: usize,
    pub cluster_name: Option<String>,
    pub mode: u32,
}

impl Setup {
    pub fn new(directory: &Path, hosts: Vec<String>) -> Setup {
        Setup {
            backend: Backend::File,
            directory: directory.into(),
            key: 0xA700_0001,
            hosts,
            tend_ms: 100,
            threshold_ms: 3000,
            max_nodes: 16,
            ceiling: 4096,
            cluster_name: None,
            mode: 0o600,
        }
    }

    pub fn place(&self) -> Place {
        let directory = self.directory.clone();
        Place { backend: self.backend, directory, ..Place::of_key(self.key) }
    }

    pub fn config(&self) -> Config {
        let hosts = self.hosts.iter().map(|host| host.parse().unwrap()).collect();
        let mut config = Config::shared(hosts, self.key);
        config.shm_backend = self.backend;
        config.shm_directory = self.directory.clone();
        config.tend_interval = Duration::from_millis(self.tend_ms);
        config.connect_timeout = Duration::from_millis(300);
        config.shm_takeover_threshold = Duration::from_millis(self.threshold_ms);
        config.shm_max_nodes = self.max_nodes;
        config.shm_node_ceiling = self.ceiling;
        config.cluster_name = self.cluster_name.clone();
        config.shm_mode = self.mode;
        config.checksums = true;
        config
    }

    fn to_json(&self) -> Value {
        json!({
            "backend": self.backend.as_str(), "directory": self.directory, "key": self.key, "hosts": self.hosts,
            "tend_ms": self.tend_ms, "threshold_ms": self.threshold_ms,
            "max_nodes": self.max_nodes, "ceiling": self.ceiling, "cluster_name": self.cluster_name,
            "mode": self.mode,
        })
    }

    fn from_json(value: &Value) -> Setup {
        let hosts = value["hosts"].as_array().unwrap().iter();
        Setup {
            backend: value["backend"].as_str().unwrap().parse().unwrap(),
            directory: value["directory"].as_str().unwrap().into(),
            key: value["key"].as_u64().unwrap() as u32,
            hosts: hosts.map(|host| host.as_str().unwrap().to_owned()).collect(),
            tend_ms: value["tend_ms"].as_u64().unwrap(),
            threshold_ms: value["threshold_ms"].as_u64().unwrap(),
            max_nodes: value["max_nodes"].as_u64().unwrap() as usize,
            ceiling: value["ceiling"].as_u64().unwrap() as usize,
            cluster_name: value["cluster_name"].as_str().map(Into::into),
            mode: value["mode"].as_u64().unwrap() as u32,
        }
    }
}

/// If this process was started as a worker: works, and never returns.
pub fn work_if_asked() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (role, setup) = role.split_once(' ').expect("a role and a setup");
    let setup = Setup::from_json(&serde_json::from_str(setup).unwrap());
    match role {
        "client" => client(&setup, None),
        "switch" => client(&setup, Some(Cluster::new(5, 2))),
        "hammer" => hammer(&setup),
        "spin" => spin(&setup),
        "hold" => hold(&setup),
        "keep" => roles::keep(&setup),
        "read" => roles::read(&setup),
        "footprint" => footprint(&setup),
        "hold-check" => {
            let segment = live(&setup.place()).unwrap().unwrap();
            let byte = segment.head().term().into();
            let held = segment.lock().unwrap().held_by_other(byte).unwrap();
            say(json!({"event": "owner_byte", "held": held}));
        }
        "trial" => crate::conformance::run(&std::env::var(TRIAL).unwrap()),
        "churn" => outsiders::churn(&setup),
        "look" => outsiders::look(&setup),
        "half" => outsiders::half(&setup),
        "outgrow" => outsiders::outgrow(&setup),
        other => panic!("no such role: {other}"),
    }
    std::process::exit(0);
}

/// What the test says, a line each.
pub fn commands() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map_while(Result::ok)
}

pub fn say(value: Value) {
    let mut out = std::io::stdout().lock();
    // A test that has gone away is no reason to fail.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

/// A client that tells every event, and routes when it is asked to: of the
/// servers of its setup, or of a cluster of its own that can be switched off.
fn client(setup: &Setup, own: Option<Cluster>) {
    let mut config = setup.config();
    config.observer = Some(Observer::new(|event| match event {
        Event::Owner { term, takeover, .. } => {
            say(json!({"event": "owner", "term": term, "takeover": takeover}));
        }
        Event::Follower { term, .. } => say(json!({"event": "follower", "term": term})),
        Event::Fenced { term } => say(json!({"event": "fenced", "term": term})),
        Event::Abdicated { .. } => say(json!({"event": "abdicated"})),
        Event::Moved { generation } => say(json!({"event": "moved", "generation": generation})),
        _ => {}
    }));
    let connected = match &own {
        None => Client::connect(config),
        Some(cluster) => Client::connect_with(config, cluster.source()),
    };
    let client = match connected {
        Ok(client) => client,
        Err(error) => return say(json!({"event": "error", "text": error.to_string()})),
    };
    let role = client.role().as_str();
    say(json!({"event": "connected", "role": role}));
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "role" => say(json!({"event": "role", "role": client.role().as_str()})),
            "route" => say(route_all(&client)),
            "fail" => own.as_ref().unwrap().fail(TendError::NoSeed { tried: vec![] }),
            "work" => own.as_ref().unwrap().heal(),
            "where" => {
                let segment = client.segment();
                let generation = (!segment.head().retired()).then(|| segment.identity().generation);
                say(json!({"event": "where", "generation": generation}));
            }
            "close" => break,
            other => match other.strip_prefix("grow ").and_then(|nodes| nodes.parse().ok()) {
                Some(nodes) => own.as_ref().unwrap().grow(nodes),
                None => panic!("no such command: {other}"),
            },
        }
    }
    client.close();
    say(json!({"event": "closed"}));
}

/// Every master of every namespace, from one router.
fn route_all(client: &Client) -> Value {
    let snapshot = client.map().unwrap();
    let mut router = client.router();
    let (mut routed, mut wrong) = (0, 0);
    for namespace in snapshot.map.namespaces() {
        let handle = router.namespace(namespace.name.as_str()).unwrap();
        for partition in 0..4096 {
            let Ok(route) = router.route(handle, Partition(partition), Policy::Master) else {
                continue;
            };
            routed += 1;
            let owner = namespace.partitions.owner(partition, 0);
            wrong +=
                usize::from(route.sequence() == snapshot.sequence && owner != Some(route.slot()));
        }
    }
    json!({"event": "routed", "routed": routed, "wrong": wrong, "sequence": snapshot.sequence})
}

/// A cluster that has more nodes and namespaces at every pass.
struct Growing(ClusterMap);

impl ClusterSource for Growing {
    fn start(&mut self, map: ClusterMap) {
        self.0 = map;
    }
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        if turn.beat().is_break() {
            return Err(TendError::Interrupted);
        }
        let there = self.0.nodes.len() as u16;
        for number in there..(there + 7).min(200) {
            self.0.nodes.insert(crate::common::node(number)).unwrap();
        }
        let there = self.0.namespaces().len();
        for number in there..(there + 2).min(40) {
            crate::common::add_namespace(&mut self.0, &format!("ns{number}"), 2);
        }
        Ok(TendReport::default())
    }
    fn map(&self) -> &ClusterMap {
        &self.0
    }
    fn stop(&mut self) {}
}

/// A client of a growing cluster that routes without a pause until it is told
/// to close.
fn spin(setup: &Setup) {
    let source = Growing(ClusterMap::new(setup.config().capacity()));
    let client = Client::connect_with(setup.config(), Box::new(source)).unwrap();
    say(json!({"event": "connected"}));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().lines().next();
            stop.store(true, Ordering::Relaxed);
        });
        let mut router = client.router();
        let mut checked = client.map().unwrap();
        let (mut lookups, mut failed, mut wrong) = (0_u64, 0_u64, 0_u64);
        let mut errors = std::collections::BTreeMap::<String, u64>::new();
        let mut seen = checked.sequence;
        while !stop.load(Ordering::Relaxed) {
            let names: Vec<_> = checked.map.namespaces().iter().map(|found| found.name).collect();
            for (index, name) in names.into_iter().enumerate() {
                let handle = match router.namespace(name.as_str()) {
                    Ok(handle) => handle,
                    Err(error) => {
                        failed += 1;
                        *errors.entry(error.to_string()).or_default() += 1;
                        continue;
                    }
                };
                for partition in (0..4096).step_by(17) {
                    let route = router.route(handle, Partition(partition), Policy::Sequence);
                    lookups += 1;
                    let route = match route {
                        Ok(route) => route,
                        Err(error) => {
                            failed += 1;
                            *errors.entry(error.to_string()).or_default() += 1;
                            continue;
                        }
                    };
                    seen = route.sequence();
                    if seen == checked.sequence {
                        let table = &checked.map.namespaces()[index].partitions;
                        let known = (0..3).any(|replica| {
                            let slot = table.owner(partition, replica);
                            let node = slot.and_then(|slot| checked.map.nodes.get(slot));
                            node.is_some_and(|node| node == route.node())
                        });
                        wrong += u64::from(!known);
                    }
                }
            }
            if seen != checked.sequence {
                checked = client.map().unwrap_or(checked);
            }
        }
        let nodes = checked.map.nodes.len();
        client.close();
        say(json!({
            "event": "spun", "lookups": lookups, "failed": failed, "wrong": wrong, "nodes": nodes,
            "errors": errors.into_iter().take(5).collect::<Vec<_>>(),
        }));
    });
}

/// An owner without a cluster that publishes without a pause, every word
/// changed each time: whenever it is killed or stopped, it is in the middle of
/// a publication.
fn hammer(setup: &Setup) {
    let Created::Owner(mut tenure) =
        create(&setup.place(), 1, setup.config().capacity(), None).unwrap()
    else {
        panic!("the directory was empty");
    };
    tenure.set_checksums(true);
    let mut maps = [hammered(0), hammered(1), hammered(2)];
    say(json!({"event": "hammering"}));
    for turn in 0.. {
        let map: &mut ClusterMap = &mut maps[turn % 3];
        match tenure.publish(map) {
            Ok(_) => {}
            Err(NotPublished::Ended(_)) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    tenure.fenced();
    say(json!({"event": "fenced"}));
    let _ = std::io::stdin().lines().next();
}

/// Eight namespaces on twelve nodes; two maps of different turns differ in
/// every word.
pub fn hammered(turn: usize) -> ClusterMap {
    let mut map = ClusterMap::new(tendmap::map::Capacity::DEFAULT);
    for number in 0..12 {
        map.nodes.insert(crate::common::node(number)).unwrap();
    }
    for index in 0..8 {
        crate::common::add_namespace(&mut map, &format!("ns{index}"), 3);
        let namespace = &mut map.namespaces_mut()[index];
        for partition in 0..4096 {
            for replica in 0..3 {
                let slot = tendmap::map::Slot::new((partition + 4 * turn + replica) % 12);
                namespace.partitions.set_owner(partition, replica, slot);
            }
            namespace.partitions.set_regime(partition, turn as u32 + 1);
        }
    }
    map
}

/// What a reader, and then a follower, with a router that has routed, adds to
/// this process.
fn footprint(setup: &Setup) {
    // What the first line that is told, or the first file that is read, takes.
    let _ = (memory(), threads(), sockets(), route_once(&Reader::attach(&setup.place()).unwrap()));
    let (kib, before, open) = (memory(), threads(), sockets());
    let reader = Reader::attach(&setup.place()).unwrap();
    let router = route_once(&reader);
    let of_reader = json!({
        "private_kib": memory().saturating_sub(kib), "threads": threads() - before,
        "sockets": sockets() - open,
    });
    drop((router, reader));
    let (kib, before, open) = (memory(), threads(), sockets());
    let client = Client::connect(setup.config()).unwrap();
    let mut router = client.router();
    let handle = router.namespace("test").unwrap();
    router.route(handle, Partition(0), Policy::Master).unwrap();
    let (kib, started) = (memory().saturating_sub(kib), threads() - before);
    let (wakes, begun) = (switches(), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let wakes = (switches() - wakes) as f64 / begun.elapsed().as_secs_f64();
    say(json!({
        "event": "footprint", "private_kib": kib, "threads": started,
        "sockets": sockets() - open, "wakes_a_second": wakes, "reader": of_reader,
    }));
    client.close();
}

fn route_once(reader: &Reader) -> Router {
    let mut router = reader.router();
    let handle = router.namespace("test").unwrap();
    router.route(handle, Partition(0), Policy::Master).unwrap();
    router
}

/// Private memory of this process that is not just mapped from a file, in KiB.
fn memory() -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let of = |name| smaps.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap();
    of("Private_Dirty:").trim().trim_end_matches(" kB").parse().unwrap()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// How often the library's thread has gone to sleep.
fn switches() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let told = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status")).ok();
    let ours = tasks.filter_map(|task| told(task.unwrap()));
    let ours = ours.filter(|status| status.starts_with("Name:\ttendmap\n"));
    let count = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    ours.map(count).sum()
}

fn sockets() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let leads = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    leads.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Takes the bytes of the next two terms, as candidates that are stopped
/// half-way do.
fn hold(setup: &Setup) {
    let segment = live(&setup.place()).unwrap().unwrap();
    let lock = segment.lock().unwrap();
    let next = u64::from(segment.head().term()) + 1;
    assert!(lock.try_lock(next).unwrap() && lock.try_lock(next + 1).unwrap());
    say(json!({"event": "holding"}));
    let _ = std::io::stdin().lines().next();
}

/// A worker, from the test's side. Dropped, it is killed.
pub struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
}

impl Worker {
    pub fn start(role: &str, setup: &Setup) -> Worker {
        Worker::run(Command::new(std::env::current_exe().unwrap()), role, setup)
    }

    /// A worker of another user and group, which can do nothing that these
    /// can't. Only root can start it.
    pub fn of_user(role: &str, setup: &Setup, user: u32, group: u32) -> Worker {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        // Where this binary lies others may not be let in.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("worker");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let let_in = |path: &Path| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let_in(folder.path());
        let_in(&copy);
        let mut command = Command::new(&copy);
        command.uid(user).gid(group).current_dir("/");
        Worker::run(command, role, setup)
    }

    /// Why user namespaces can't be had here; `None` if they can.
    pub fn no_namespaces() -> Option<String> {
        let flags = ["--user", "--map-root-user", "--pid", "--mount", "--fork", "true"];
        match Command::new("unshare").args(flags).output() {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(format!("unshare (of util-linux) can't be started: {error}")),
        }
    }

    /// A client that is process 1 of a pid namespace of its own, as in a
    /// container. Killed, it dies with the process that is known here.
    pub fn contained(setup: &Setup) -> Worker {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child=SIGKILL"])
            .arg(std::env::current_exe().unwrap());
        let worker = Worker::run(command, "client", setup);
        worker.expect("connected");
        worker
    }

    fn run(mut command: Command, role: &str, setup: &Setup) -> Worker {
        let mut child = command
            .env(ROLE, format!("{role} {}", setup.to_json()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        let stdin = child.stdin.take();
        Worker { child, stdin, lines }
    }

    /// Runs a trial in a process of its own, as those must that fork: a child
    /// has a part in everything that its parent has mapped.
    pub fn run_trial(name: &str) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let setup = Setup::new(Path::new("/"), vec![]);
        let status = command
            .env(ROLE, format!("trial {}", setup.to_json()))
            .env(TRIAL, name)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{name}: {status}");
    }

    /// What a worker says first that has System V memory of its own (an IPC
    /// namespace), with a limit set; `None` where there is no such thing.
    pub fn with_limit(setup: &Setup, role: &str, limit: &str, value: u64) -> Option<Value> {
        let script = "echo $VALUE > /proc/sys/kernel/$LIMIT && echo {} && exec \"$WORKER\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--ipc", "sh", "-c", script])
            .env("LIMIT", limit)
            .env("VALUE", value.to_string())
            .env("WORKER", std::env::current_exe().unwrap())
            .env(ROLE, format!("{role} {}", setup.to_json()))
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        // The first says that the limit could be set.
        lines.next().map(|_: Value| {
            let told = String::from_utf8_lossy(&output.stderr);
            lines.next().unwrap_or_else(|| panic!("{told}"))
        })
    }

    /// What a client says that is to make its segment in a tmpfs of that size,
    /// in user and mount namespaces of its own.
    pub fn in_small_tmpfs(setup: &Setup, at: &Path, size: &str) -> Value {
        let script = "mount -t tmpfs -o size=$SIZE none \"$AT\" && exec \"$WORKER\"";
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .env("SIZE", size)
            .env("AT", at)
            .env("WORKER", std::env::current_exe().unwrap())
            .env(ROLE, format!("client {}", setup.to_json()))
            .stdin(Stdio::null())
            .output()
            .expect("unshare (of util-linux) is needed for this test");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "unprivileged user namespaces are needed: {told}");
        let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}; {told}"))
    }

    /// A client that has connected.
    pub fn client(setup: &Setup) -> Worker {
        let worker = Worker::start("client", setup);
        worker.expect("connected");
        worker
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// SIGKILL; the process stays a zombie until this is dropped.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next event of that kind within 30 s; others are passed over.
    #[track_caller]
    pub fn expect(&self, event: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) if value["event"] == event => return value,
                Ok(value) if value["event"] == "error" => panic!("waiting for {event}: {value}"),
                Ok(_) => {}
                Err(error) => panic!("waiting for {event} of {}: {error}", self.pid()),
            }
        }
    }

    /// The next event of that kind, if it comes within that time.
    pub fn hears(&self, event: &str, within: Duration) -> Option<Value> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) if value["event"] == event => return Some(value),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Whether it has connected, in the end; it may be refused as well.
    pub fn settled(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(value) if value["event"] == "connected" => return true,
                Ok(value) if value["event"] == "error" => return false,
                Ok(_) => {}
                Err(error) => panic!("{} did not connect: {error}", self.pid()),
            }
        }
    }

    /// The segment that it reads; `None` while that is retired.
    pub fn generation(&mut self) -> Option<u64> {
        self.ask("where", "where")["generation"].as_u64()
    }

    #[track_caller]
    pub fn ask(&mut self, command: &str, answer: &str) -> Value {
        self.say(command);
        self.expect(answer)
    }

    pub fn role(&mut self) -> String {
        self.ask("role", "role")["role"].as_str().unwrap().to_owned()
    }

    /// Every master of every namespace is right and there.
    #[track_caller]
    pub fn assert_routes(&mut self) {
        let answer = self.ask("route", "routed");
        assert_eq!(answer["wrong"], 0, "{answer}");
        assert!(answer["routed"].as_u64().unwrap() > 0, "{answer}");
    }

    pub fn close(mut self) {
        self.ask("close", "closed");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
