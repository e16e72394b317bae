//! A cluster, the processes that use its segment, and the checks on them.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tendmap::client::Reader;
use tendmap::internals::layout::Geometry;
use tendmap::segment::Backend;
use tendmap::sim::{Sim, SimConfig, SimNamespace};

use crate::measure::Use;
use crate::victim::{ROLE, Setup};
use crate::writer::{Aim, Writer};

/// The size of the segments.
#[derive(Clone, Copy)]
pub enum Shape {
    /// The usual capacities.
    Usual,
    /// Tables and arrays of many megabytes.
    Large,
}

/// The least number of calls of each kind that a victim makes.
const CALLS: u64 = 10;
/// The most files, and the most System V segments, that may exist at any moment.
const MOST_FILES: usize = 64;
/// The memory that a process may use beyond its use after the first half.
const MORE_KB: u64 = 48 * 1024;
const MORE_DESCRIPTORS: u64 = 40;

/// The test's side of a victim.
struct Victim {
    role: &'static str,
    child: Child,
    /// Closing it ends the victim.
    input: Option<ChildStdin>,
    told: Arc<Mutex<Told>>,
    /// The most that it used in each half.
    halves: [Use; 2],
}

#[derive(Default)]
struct Told {
    least: u64,
    faults: Vec<String>,
    calls: Option<String>,
    errors: String,
}

pub struct Rig {
    setup: Setup,
    seed: u64,
    geometry: Geometry,
    victims: Vec<Victim>,
    /// The ids of the System V segments that were there before. One may have been left
    /// long ago by a process with the pid of a victim.
    before: HashSet<String>,
    _sim: Sim,
    _directory: TempDir,
}

impl Rig {
    pub fn new(backend: Backend, shape: Shape, seed: u64) -> Rig {
        let mut config = SimConfig::new(3);
        config.cluster_name = Some("lab".into());
        config.namespaces = vec![SimNamespace::new("test", 2)];
        let sim = Sim::start(config).unwrap();
        let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
        let directory = tendmap_testkit::directory();
        let (max_nodes, max_namespaces) = match shape {
            Shape::Usual => (16, 8),
            Shape::Large => (1024, 128),
        };
        let setup = Setup {
            backend,
            directory: directory.path().into(),
            // A key of this process, because other tests use System V keys, too.
            key: 0x5100_0000 | std::process::id(),
            hosts: hosts.join(","),
            max_nodes,
            max_namespaces,
        };
        let before = system_v().into_iter().map(|[id, _]| id).collect();
        let first = Victim::start("client", &setup);
        tendmap_testkit::wait_until("a map", || {
            Reader::attach(&setup.place()).is_ok_and(|reader| reader.map().is_ok())
        });
        let geometry = *Reader::attach(&setup.place()).unwrap().segment().geometry();
        let others = ["named", "client", "newcomer", "reader"];
        let mut victims = vec![first];
        victims.extend(others.map(|role| Victim::start(role, &setup)));
        Rig { setup, seed, geometry, victims, before, _sim: sim, _directory: directory }
    }

    /// Attacks for the wanted time or, without one, until the writer has made
    /// `turns` turns and each victim a minimum of calls.
    pub fn run(&mut self, aim: Aim, turns: u64, wanted: Option<Duration>) {
        let writer = Writer::start(self.setup.place(), self.geometry, aim, self.seed);
        let begun = Instant::now();
        let mut commands = Commands::default();
        // The first half warms up.
        for half in 0..2 {
            let least: Vec<u64> = self.victims.iter().map(|victim| victim.least()).collect();
            let made = writer.turns.load(Ordering::Relaxed);
            let half_begun = Instant::now();
            loop {
                for victim in &mut self.victims {
                    victim.watch(half);
                }
                self.count();
                commands.run(&self.setup);
                let enough = match wanted {
                    Some(length) => half_begun.elapsed() >= length / 2,
                    None => {
                        let now = self.victims.iter().map(|victim| victim.least());
                        writer.turns.load(Ordering::Relaxed) >= made + turns / 2
                            && now.zip(&least).all(|(now, before)| now >= before + CALLS / 2)
                    }
                };
                if enough {
                    break;
                }
                assert!(
                    wanted.is_some() || half_begun.elapsed() < Duration::from_secs(300),
                    "after {} turns these victims have made too few calls: {:?}",
                    writer.turns.load(Ordering::Relaxed),
                    self.victims.iter().map(|v| (v.role, v.least())).collect::<Vec<_>>()
                );
                thread::sleep(Duration::from_millis(20));
            }
        }
        let turns = writer.turns.load(Ordering::Relaxed);
        let generations = self.generations();
        println!("{generations} generations");
        println!("{turns} turns in {:.1?}; commands: {commands:?}", begun.elapsed());
        for victim in &self.victims {
            let [first, last] = victim.halves;
            println!("{} {}: {first:?}, then {last:?}", victim.role, victim.child.id());
            let grown = last.resident_kb > first.resident_kb + MORE_KB
                || last.descriptors > first.descriptors + MORE_DESCRIPTORS
                || last.threads > first.threads + 4;
            assert!(!grown, "a {} grew from {first:?} to {last:?}", victim.role);
        }
    }

    /// Checks that neither files nor System V segments accumulate.
    fn count(&self) {
        let files = fs::read_dir(&self.setup.directory).unwrap().count();
        assert!(files <= MOST_FILES, "{files} files in the directory");
        let segments = self.segments();
        assert!(segments <= MOST_FILES, "{segments} System V segments");
    }

    /// The number of the newest segment.
    fn generations(&self) -> u64 {
        let listed = tendmap::segment::list(&self.setup.directory).unwrap();
        listed.iter().map(|found| found.generation).max().unwrap_or(0)
    }

    /// The number of System V segments that victims have created and that are still there.
    fn segments(&self) -> usize {
        let pids: Vec<String> = self.victims.iter().map(|v| v.child.id().to_string()).collect();
        let made =
            |[id, creator]: &[String; 2]| pids.contains(creator) && !self.before.contains(id);
        system_v().iter().filter(|found| made(found)).count()
    }

    /// Checks that, after the writer has stopped, a new process gets the whole
    /// map.
    pub fn recovers(&mut self) {
        let place = self.setup.place();
        let mut wrong = String::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            self.victims.iter_mut().for_each(|victim| victim.watch(1));
            wrong = match Reader::attach(&place).map(|reader| (reader.status(), reader.map())) {
                Err(error) => error.to_string(),
                Ok((_, Err(error))) => error.to_string(),
                Ok((Err(error), _)) => error.to_string(),
                Ok((Ok(status), Ok(map))) => {
                    let namespaces = map.map.namespaces();
                    let whole = map.map.nodes.len() == 3
                        && namespaces.len() == 1
                        && namespaces[0].holes() == 0
                        && namespaces[0].routable_replicas() == 2;
                    if whole && status.owner_alive && !status.retired {
                        return;
                    }
                    format!("{status:?}")
                }
            };
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it has not recovered: {wrong}");
    }

    /// Ends all processes, and checks that nothing is left.
    pub fn ends(mut self) {
        // Clients remove a segment without attached processes; readers do not.
        let readers = self.victims.iter().position(|victim| victim.role == "reader");
        self.victims.swap(0, readers.expect("a reader"));
        for (number, victim) in self.victims.iter_mut().enumerate() {
            victim.input = None;
            if number == 0 {
                victim.ended();
            }
        }
        for victim in &mut self.victims {
            let status = victim.ended();
            tendmap_testkit::wait_until("its last words", || {
                victim.told.lock().unwrap().calls.is_some() || !status.success()
            });
            let told = victim.told.lock().unwrap();
            println!("{}: {}", victim.role, told.calls.as_deref().unwrap_or("nothing"));
            assert!(status.success(), "a {} ended with {status}: {}", victim.role, told.errors);
            assert!(told.faults.is_empty(), "a {}: {:?}", victim.role, told.faults);
        }
        let left: Vec<_> =
            fs::read_dir(&self.setup.directory).unwrap().map(|e| e.unwrap().file_name()).collect();
        let said = |victim: &Victim| {
            let errors = victim.told.lock().unwrap().errors.clone();
            let last: Vec<_> = errors.lines().rev().take(5).map(str::to_owned).collect();
            format!("{} {}: {last:?}", victim.role, victim.child.id())
        };
        let said: Vec<_> = self.victims.iter().map(said).collect();
        assert!(left.is_empty(), "these files stayed: {left:?}; {said:#?}");
        let segments = self.segments();
        assert_eq!(segments, 0, "System V segments were left");
    }
}

/// The id and the creator's pid of each System V segment of the host.
fn system_v() -> Vec<[String; 2]> {
    let text = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let column = |line: &str, number| line.split_whitespace().nth(number).map(str::to_owned);
    text.lines().filter_map(|line| Some([column(line, 1)?, column(line, 4)?])).collect()
}

impl Drop for Rig {
    fn drop(&mut self) {
        for victim in &mut self.victims {
            let _ = victim.child.kill();
            let _ = victim.child.wait();
        }
        let _ = tendmap::segment::remove(&self.setup.place(), true);
    }
}

impl Victim {
    fn start(role: &'static str, setup: &Setup) -> Victim {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, setup.to_text(role)).env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let of = told.clone();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let mut told = of.lock().unwrap_or_else(PoisonError::into_inner);
                match line.split_once(' ') {
                    Some(("LEAST", least)) => told.least = least.parse().unwrap(),
                    Some(("CALLS", calls)) => told.calls = Some(calls.to_owned()),
                    _ => told.faults.push(line),
                }
            }
        });
        let of = told.clone();
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let mut told = of.lock().unwrap_or_else(PoisonError::into_inner);
                if told.errors.len() < 100_000 {
                    told.errors += &line;
                    told.errors.push('\n');
                }
            }
        });
        let input = child.stdin.take();
        Victim { role, child, input, told, halves: [Use::default(); 2] }
    }

    /// Waits for the exit status.
    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "a {} hangs", self.role);
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn least(&self) -> u64 {
        self.told.lock().unwrap().least
    }

    /// Checks that the victim runs and has reported no fault, and records its use.
    fn watch(&mut self, half: usize) {
        if let Some(status) = self.child.try_wait().unwrap() {
            // Its last lines may still be in the pipe.
            thread::sleep(Duration::from_millis(200));
            let told = self.told.lock().unwrap();
            let signal = status.signal();
            panic!("a {} ended with {status} (signal {signal:?}): {}", self.role, told.errors);
        }
        let told = self.told.lock().unwrap();
        assert!(told.faults.is_empty(), "a {}: {:?}\n{}", self.role, told.faults, told.errors);
        assert!(!told.errors.contains("panicked"), "a {}: {}", self.role, told.errors);
        if let Some(found) = Use::of(self.child.id()) {
            self.halves[half] = self.halves[half].most(found);
        }
    }
}

/// The commands that an operator would try, one at a time.
#[derive(Debug, Default)]
struct Commands {
    runs: u64,
    codes: BTreeMap<String, u64>,
    longest: Duration,
}

impl Commands {
    fn run(&mut self, setup: &Setup) {
        let program = env!("CARGO_BIN_EXE_tendmap");
        let key = setup.key.to_string();
        let commands: [&[&str]; 6] = [
            &["status"],
            &["status", "--json"],
            &["map", "--json"],
            &["map"],
            &["ls"],
            &["route", "--namespace", "test", "--set", "users", "--int", "7"],
        ];
        let arguments = commands[(self.runs % 6) as usize];
        let mut command = Command::new(program);
        command.args(arguments).arg("--shm-directory").arg(&setup.directory);
        if arguments[0] != "ls" {
            command.args(["--shm-key", &key, "--shm-backend", setup.backend.as_str()]);
        }
        let begun = Instant::now();
        let output = command.output().unwrap();
        let took = begun.elapsed();
        let err = String::from_utf8_lossy(&output.stderr);
        let wrong = output.status.code().is_none() || err.contains("panicked");
        assert!(!wrong, "{command:?}: {}: {err}", output.status);
        assert!(took < Duration::from_secs(10), "{command:?} took {took:?}");
        self.runs += 1;
        self.longest = self.longest.max(took);
        let code = format!("{} {}", arguments[0], output.status.code().unwrap_or(-1));
        *self.codes.entry(code).or_default() += 1;
    }
}
