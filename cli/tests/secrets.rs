//! Counts the copies of a password, its hash and a token in a process's memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tendmap_testkit::authority::{Authority, NAME};
use tendmap_testkit::memory::{Copies, NONE, ONE, copies};
use tendmap_testkit::scripted::{Fields, Scripted, answer, good};
use tendmap_testkit::scripted_tls::start_tls;

#[global_allocator]
static WIPING: tendmap::WipingAllocator = tendmap::WipingAllocator;

const LONG: Duration = Duration::from_secs(30);
const TOKEN: &[u8] = b"a-t0ken-that-is-found-wherever-it-lies";

fn login(_: &Fields) -> Option<Vec<u8>> {
    answer(0, &[(5, TOKEN), (6, &3600u32.to_be_bytes())])
}

/// A password that appears in no text of this program and in no other test.
fn password() -> String {
    format!("0pen-sesame-{:016x}", fastrand::u64(..))
}

struct Tender {
    child: Child,
    server: Scripted,
    directory: tempfile::TempDir,
}

impl Drop for Tender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    File,
    PasswordFile,
    Variable,
    Flag,
}

fn write(directory: &Path, password: &str) {
    let file = directory.join("tendmap.toml");
    fs::write(&file, format!("user = \"keeper\"\npassword = \"{password}\"\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn write_password(directory: &Path, password: &str) {
    let file = directory.join("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn tender(mode: &str, tls: bool, from: From, password: &str) -> Tender {
    let authority = Authority::new();
    authority.issue("node", &[NAME], false);
    let file = authority.path("node");
    let server = if tls { start_tls("A1", &file) } else { Scripted::start("A1") };
    server.answers(login, good);
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let port = server.address.port();
    let host = if tls { format!("127.0.0.1:{NAME}:{port}") } else { format!("127.0.0.1:{port}") };
    let mut command = Command::new(env!("CARGO_BIN_EXE_tendmap"));
    command.args(["tend", "--json", "--log", "trace", "--tend-interval", "50ms", "--host", &host]);
    command.args(["--auth-mode", mode, "--user", "keeper", "--shm-key", "0xA7005EC0"]);
    command.arg("--shm-directory").arg(directory.path());
    if tls {
        command.arg("--tls-cafile").arg(authority.path("ca.pem"));
    }
    command.env_remove("TENDMAP_PASSWORD").env_remove("TENDMAP_CONFIG");
    match from {
        From::File => {
            write(directory.path(), password);
            command.arg("--config").arg(directory.path().join("tendmap.toml"));
        }
        From::PasswordFile => {
            write_password(directory.path(), password);
            command.arg("--password-file").arg(directory.path().join("password"));
        }
        From::Variable => drop(command.env("TENDMAP_PASSWORD", password)),
        From::Flag => drop(command.args(["--password", password])),
    }
    let log = || fs::File::options().append(true).create(true).open(directory.path().join("log"));
    let child = command.stdin(Stdio::null()).stdout(log().unwrap()).stderr(log().unwrap());
    let tender = Tender { child: child.spawn().unwrap(), server, directory };
    tender.passes(5);
    tender
}

impl Tender {
    /// Waits for this number of further passes.
    fn passes(&self, count: usize) {
        let done = || {
            let script = self.server.script.lock().unwrap();
            script.asked.iter().filter(|command| *command == "rebalance-generation").count()
        };
        let (before, begun) = (done(), Instant::now());
        while done() < before + count {
            let log = || fs::read_to_string(self.directory.path().join("log"));
            assert!(begun.elapsed() < LONG, "{:?}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The copies of the password, its hash and the token.
    fn copies(&self, password: &str) -> [Copies; 3] {
        let hash = self.server.script.lock().unwrap().logins.last().unwrap()[&3].clone();
        let found = copies(self.child.id(), &[password.as_bytes(), &hash, TOKEN]);
        found.try_into().unwrap()
    }

    fn shown(&self, what: &str) -> String {
        let shown = fs::read(format!("/proc/{}/{what}", self.child.id())).unwrap();
        String::from_utf8_lossy(&shown).into_owned()
    }
}

#[test]
fn h122_a_tender_keeps_one_copy_of_each_secret_and_none_that_a_core_dump_would_have() {
    for (mode, tls, from) in [
        ("INTERNAL", false, From::File),
        ("INTERNAL", true, From::File),
        ("EXTERNAL", true, From::PasswordFile),
        ("EXTERNAL", true, From::Variable),
        ("EXTERNAL_INSECURE", false, From::Variable),
        ("EXTERNAL", true, From::Flag),
    ] {
        let password = password();
        let tender = tender(mode, tls, from, &password);
        let [clear, hash, token] = tender.copies(&password);
        // The kernel keeps the arguments for `ps`.
        let given = usize::from(from == From::Flag);
        let wanted = Copies { all: 1 + given, dumped: given };
        assert_eq!([clear, hash, token], [wanted, ONE, ONE], "{mode} {tls} {from:?}");
        assert!(!tender.shown("environ").contains(&password), "{from:?}");
        assert_eq!(tender.shown("cmdline").contains(&password), from == From::Flag);
        let log = fs::read_to_string(tender.directory.path().join("log")).unwrap();
        assert!(!log.contains(&password) && !log.contains("\u{1}password"), "{log}");
    }
}

#[test]
fn h122_a_password_that_was_replaced_is_gone() {
    for (from, name) in [(From::File, "password"), (From::PasswordFile, "password-file")] {
        replaced(from, name);
    }
}

fn replaced(from: From, name: &str) {
    let first = password();
    let tender = tender("EXTERNAL_INSECURE", false, from, &first);
    let second = password();
    match from {
        From::PasswordFile => write_password(tender.directory.path(), &second),
        _ => write(tender.directory.path(), &second),
    }
    let pid = nix::unistd::Pid::from_raw(tender.child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    let begun = Instant::now();
    let log = || fs::read_to_string(tender.directory.path().join("log")).unwrap();
    while !log().contains("reloaded") {
        assert!(begun.elapsed() < LONG, "{}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let quoted = format!("\"{name}\"");
    assert!(log().contains(&quoted), "{}", log());
    tender.passes(3);
    assert_eq!(tender.copies(&first)[0], NONE);
    assert_eq!(tender.copies(&second)[0], ONE);
    // A reload without changes.
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    while log().matches("reloaded").count() < 2 {
        assert!(begun.elapsed() < 2 * LONG, "{}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(log().matches(&quoted).count(), 1, "{}", log());
    assert_eq!(tender.copies(&second)[0], ONE);
}

/// Bytes that appear in no text of a program.
fn pattern(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..48).map(|_| random.alphanumeric() as u8).collect()
}

const SEED: &str = "TENDMAP_TEST_SEED";

/// The child of the test below: frees blocks of many sizes, and waits.
#[test]
fn h122_child_that_frees() {
    let Some(seed) = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()) else { return };
    let mut text = pattern(seed);
    for size in [64, 200, 1000, 5000, 70_000, 3_000_000] {
        let mut freed = vec![b' '; size];
        freed[size - 48..].copy_from_slice(&text);
        // Growing moves it elsewhere.
        freed.reserve(2 * size);
        drop(std::hint::black_box(freed));
    }
    text.fill(0);
    println!("\nfreed");
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
}

#[test]
fn h122_memory_that_is_freed_is_wiped() {
    let seed = fastrand::u64(..);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "h122_child_that_frees", "--nocapture", "--test-threads=1"])
        .env(SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(said);
    assert!(lines.any(|line| line.unwrap() == "freed"));
    assert_eq!(copies(child.id(), &[&pattern(seed)]), [NONE]);
    drop(child.stdin.take());
    let _ = child.wait();
}
