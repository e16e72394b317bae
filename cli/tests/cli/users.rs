//! Processes of several users, and leftovers of other layouts.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, BINARY, Place, Running, keys, wait_until};

const USERS: [u32; 3] = [5001, 5002, 5003];
const GROUP: u32 = 5000;

/// A directory that every user may write, as `/dev/shm`, and a copy of the binary
/// that every user may run; `None` if this process can't become other users.
pub struct Host {
    pub place: Place,
    folder: TempDir,
}

impl Host {
    pub fn new() -> Option<Host> {
        if !geteuid().is_root() {
            tendmap_testkit::skipped("only root can start processes of other users");
            return None;
        }
        let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
        fs::set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = folder.path().join("tendmap");
        tendmap_testkit::copy_program(Path::new(BINARY), &copy, 0o755);
        Some(Host { place, folder })
    }

    pub fn command(&self, user: u32, args: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("tendmap"));
        command.args(args).arg("--shm-directory").arg(self.place.path());
        command.uid(user).gid(GROUP).current_dir("/");
        command
    }

    pub fn run(&self, user: u32, args: &[&str]) -> Answer {
        Answer(self.command(user, args).output().unwrap())
    }

    pub fn tend(&self, user: u32, sim: &Sim, more: &[&str]) -> Running {
        let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
        let mut args = vec!["tend", "--json", "--tend-interval", "100ms"];
        args.extend(hosts.iter().flat_map(|host| ["--host", host]));
        args.extend(more);
        let mut running = Running::start(&mut self.command(user, &args));
        running.until("connected");
        running
    }
}

#[test]
fn h84_three_users_that_trust_each_other_share_a_segment() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    // One key, three successive segments, each of another user.
    let more = [
        "--shm-mode",
        "0660",
        "--shm-allow-group-write",
        "--shm-owner",
        "5001,5002,5003",
        "--shm-max-nodes",
        "2",
    ];
    let mut processes: Vec<Running> =
        USERS.iter().map(|&user| host.tend(user, &sim, &more)).collect();
    let status = || host.run(5002, &["status", "--json", "--shm-owner", "5001,5003"]).json();
    assert_eq!((&status()["attached"], &status()["user"]), (&json!(3), &json!(5001)));
    let grown = |generation: u64| {
        sim.add().unwrap();
        wait_until("a larger segment", || {
            let now = status();
            now["generation"] == generation && now["owner_alive"] == true
        });
    };
    // The owner dies, another user takes over, and replaces the segment.
    processes[0].kill();
    wait_until("a takeover", || status()["owner_alive"] == true);
    grown(2);
    wait_until("the newcomer's segment", || status()["attached"] == 2);
    let user = status()["user"].as_u64().unwrap();
    assert!([5002, 5003].contains(&user), "{user}");
    let nodes = status()["nodes"].as_array().map(Vec::len);
    for process in &mut processes[1..] {
        assert_eq!(process.interrupt(), 0);
    }
    // No trouble is reported, although no process may remove another user's file.
    let trouble = processes.iter().flat_map(|it| &it.heard).filter(|it| it["event"] == "trouble");
    assert_eq!(trouble.collect::<Vec<_>>(), [] as [&Value; 0]);
    // A later process continues from the segment that they have left.
    let first = host.tend(5001, &sim, &more);
    assert_eq!(status()["nodes"].as_array().map(Vec::len), nodes);
    drop(first);
}

#[test]
fn h84_a_user_that_is_not_trusted_is_refused_with_the_setting_to_change() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let _owner = host.tend(5001, &sim, &["--shm-mode", "0660", "--shm-allow-group-write"]);
    let refused = host.run(5002, &["status", "--shm-owner", "5003"]);
    assert_eq!(refused.code(), 6);
    let text = refused.stderr();
    assert!(text.contains("belongs to user 5001, wanted one of 0, 5002, 5003;"), "{text}");
    assert!(text.contains("shm_owner") && !text.contains("remove"), "{text}");
}

#[test]
fn h84_users_are_named_in_flags_environment_and_file() {
    let place = Place::new();
    let file = place.path().join("config");
    let status = |args: &[&str], variable: Option<&str>| {
        let mut command = place.command(&[&["status"], args].concat());
        command.envs(variable.map(|value| ("TENDMAP_SHM_OWNER", value)));
        let answer = Answer(command.output().unwrap());
        (answer.code(), answer.stderr())
    };
    let config = ["--config", file.to_str().unwrap()];
    fs::write(&file, "shm-owner = [\"root\", 5001]\n").unwrap();
    assert_eq!(status(&config, None).0, 3, "there is no segment");
    fs::write(&file, "shm-owner = \"root,5001\"\n").unwrap();
    assert_eq!(status(&config, None).0, 3);
    assert_eq!(status(&["--shm-owner", "root,5001", "--shm-owner", "7"], None).0, 3);
    assert_eq!(status(&[], Some("root,5001")).0, 3);
    fs::write(&file, "shm-owner = [5001, \"no-such-user\"]\n").unwrap();
    for (code, text) in [
        status(&config, None),
        status(&["--shm-owner", "5001,no-such-user"], None),
        status(&[], Some("no-such-user")),
    ] {
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("unknown user \"no-such-user\""), "{text}");
    }
}

#[test]
fn h85_root_sees_every_users_segment_and_is_never_told_to_remove_it() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    for backend in ["file", "sysv"] {
        let key = format!("0x7e{:06x}", std::process::id());
        let at = ["--shm-backend", backend, "--shm-key", &key];
        let _owner = host.tend(5001, &sim, &at);
        let root = |command: &[&str]| host.place.run(&[command, &at[..]].concat());
        let status = root(&["status", "--json"]);
        assert_eq!(status.code(), 0, "{}", status.stderr());
        assert_eq!((&status.json()["user"], &status.json()["attached"]), (&json!(5001), &json!(1)));
        assert!(root(&["status"]).stdout().contains("5001"));
        let map = root(&["map", "--json"]);
        assert_eq!(map.code(), 0, "{}", map.stderr());
        let namespace = keys(&map.json()["namespaces"])[0].to_owned();
        let route = root(&["route", "--namespace", &namespace, "--set", "s", "--int", "1"]);
        // For the place of a key it uses only segments of trusted users.
        assert_eq!(route.code(), 6, "{}", route.stdout());
        let trusting = ["route", "--namespace", &namespace, "--int", "1", "--shm-owner", "5001"];
        assert_eq!(root(&trusting).code(), 0);
        let listed = root(&["ls", "--json"]).json();
        let of = |found: &&Value| found["backend"] == backend;
        let listed = listed["segments"].as_array().unwrap().iter().find(of).unwrap();
        assert_eq!((&listed["user"], &listed["status"]), (&json!(5001), &json!("owned")));
        // Root reads other users' segments, but when it tends it trusts only
        // configured users. It skips a file; a System V key has only one segment.
        let mut texts = vec![root(&["status"]), root(&["ls"])];
        if backend == "file" {
            let mut own = host.place.tend(&sim, &at);
            let status = root(&["status", "--json"]).json();
            assert_eq!((&status["user"], &status["owner_alive"]), (&json!(0), &json!(true)));
            own.kill();
        } else {
            let hosts = sim.seeds()[0].to_string();
            texts.push(root(&["tend", "--host", &hosts]));
            assert_eq!(texts[2].code(), 6);
        }
        for answer in texts {
            let text = answer.stderr() + &answer.stdout();
            assert!(!text.contains("remove"), "{text}");
        }
        assert_eq!(root(&["rm", "--force"]).code(), 0);
    }
}

#[test]
fn h85_a_segment_that_root_trusts_comes_before_a_strangers() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let elsewhere = Host::new().unwrap();
    elsewhere.tend(5001, &sim, &[]).kill();
    let _own = host.place.tend(&sim, &[]);
    let higher = host.place.path().join("tendmap-a7000000-v3-g7");
    fs::rename(elsewhere.place.segment(), higher).unwrap();
    let status = host.place.run(&["status", "--json"]).json();
    assert_eq!((&status["user"], &status["owner_alive"]), (&json!(0), &json!(true)), "{status}");
}

#[test]
fn h86_a_segment_that_may_not_be_read_is_no_damaged_one() {
    let Some(host) = Host::new() else { return };
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let key = format!("0x7d{:06x}", std::process::id());
    for mode in ["0600", "0660"] {
        let _file = host.tend(5001, &sim, &["--shm-mode", mode, "--shm-allow-group-write"]);
        let sysv = ["--shm-mode", mode, "--shm-backend", "sysv", "--shm-key", &key];
        let _sysv = host.tend(5001, &sim, &sysv);
        let mut command = host.command(65_534, &["ls", "--json"]);
        let listed = Answer(command.gid(65_534).output().unwrap()).json();
        let listed = listed["segments"].as_array().unwrap();
        assert_eq!(listed.len(), 2, "{listed:?}");
        for found in listed {
            assert_eq!(
                (&found["status"], &found["attached"]),
                (&json!("no permission"), &Value::Null)
            );
            assert_eq!(found["user"], 5001);
        }
        let mut command = host.command(65_534, &["ls"]);
        let text = Answer(command.gid(65_534).output().unwrap()).stdout();
        assert!(text.contains("no permission") && !text.contains("damaged"), "{text}");
        let mut command = host.command(65_534, &["rm", "--shm-owner", "5001"]);
        let refused = Answer(command.gid(65_534).output().unwrap());
        assert!(refused.stderr().contains("Permission denied"), "{}", refused.stderr());
        assert!(refused.stderr().contains("run as that user or root"), "{}", refused.stderr());
        assert_eq!(
            host.place.run(&["rm", "--force", "--shm-backend", "sysv", "--shm-key", &key]).code(),
            0
        );
    }
}

/// A process that holds a lock on a file until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn of(path: &std::path::Path, byte: u64) -> Holder {
        use std::io::Read;
        // A lock that belongs to the descriptor, which the child inherits.
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut lock: libc::flock = write_lock();
        lock.l_start = byte as libc::off_t;
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "echo ready; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(file))
            .spawn()
            .unwrap();
        let mut ready = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_lock() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}

#[test]
fn h89_what_another_layout_has_left_is_listed_and_removed_if_nobody_holds_it() {
    let place = Place::new();
    let segment = place.path().join("tendmap-a7000000-v1-g4");
    let lock = place.path().join("tendmap-a7000000-v1-0123456789abcdef.lock");
    let leave = || {
        fs::write(&segment, [7; 4096]).unwrap();
        fs::write(&lock, []).unwrap();
    };
    let listed = || place.json(&["ls", "--json"])["segments"][0].clone();
    leave();
    assert_eq!((&listed()["status"], &listed()["attached"]), (&json!("other version"), &json!(0)));
    // An owner holds a byte of the lock file, a reader one of the segment.
    for (path, byte) in [(&lock, 3), (&segment, (1 << 32) + 77)] {
        let holder = Holder::of(path, byte);
        assert_eq!(listed()["attached"], 1);
        let refused = place.run(&["rm"]);
        assert_eq!(refused.code(), 6, "{}", refused.stderr());
        assert!(refused.stderr().contains("in use by"), "{}", refused.stderr());
        assert!(segment.exists() && lock.exists());
        drop(holder);
    }
    // A lock file of another key is left alone.
    let other = place.path().join("tendmap-a7000001-v1-0123456789abcdef.lock");
    fs::write(&other, []).unwrap();
    let removed = place.json(&["rm", "--json"]);
    let wanted = [segment.to_str().unwrap(), lock.to_str().unwrap()];
    assert_eq!(removed["removed"], json!(wanted));
    assert!(other.exists() && !segment.exists() && !lock.exists());
    // The same beside a segment of this layout with the same number.
    leave();
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    place.tend(&sim, &[]).kill();
    fs::rename(&segment, place.path().join("tendmap-a7000000-v1-g1")).unwrap();
    assert_eq!(place.json(&["ls", "--json"])["segments"].as_array().unwrap().len(), 2);
    assert_eq!(place.run(&["rm"]).code(), 0);
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn h89_a_system_v_segment_of_another_layout_is_removed_if_nobody_has_it_mapped() {
    use tendmap::internals::layout::{Geometry, Shm, WriteMapping, shm_find};
    use tendmap::map::Capacity;
    let place = Place::new();
    let key = 0x7c00_0000 | std::process::id();
    let at = ["--shm-backend", "sysv", "--shm-key", &key.to_string()];
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    place.tend(&sim, &at).kill();
    let id = shm_find(key).unwrap().unwrap();
    let geometry = Geometry::new(Capacity::DEFAULT).unwrap();
    let memory = WriteMapping::of_shm(Shm::attach(id, true).unwrap(), geometry).unwrap();
    // The layout version is the low half of the second word.
    memory.words()[1].fetch_xor(3 ^ 1, std::sync::atomic::Ordering::Relaxed);
    let run = |command: &[&str]| place.run(&[command, &at[..]].concat());
    let listed = run(&["ls", "--json"]).json()["segments"][0].clone();
    assert_eq!((&listed["status"], &listed["attached"]), (&json!("other version"), &json!(1)));
    let refused = run(&["rm"]);
    assert!(refused.stderr().contains("in use by 1"), "{}", refused.stderr());
    drop(memory);
    assert_eq!(run(&["rm"]).code(), 0, "{}", run(&["rm"]).stderr());
    assert_eq!(shm_find(key).unwrap(), None);
}

#[test]
fn h157_leftovers_beside_a_live_segment_are_removed_and_nothing_that_is_held() {
    let place = Place::new();
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let at = |name: &str| place.path().join(name);
    // Without any segment there is nothing to do, which is no failure.
    assert_eq!(place.json(&["rm", "--leftovers", "--json"]), json!({ "removed": [], "kept": [] }));
    // What the last process of an earlier generation left.
    place.tend(&sim, &[]).kill();
    let old = fs::read(at("tendmap-a7000000-v3-g1")).unwrap();
    let kept = at("tendmap-a7000000-v3-g1");
    // The newest segment is not a leftover, even if no process uses it: the next one continues it.
    assert_eq!(place.json(&["rm", "--leftovers", "--json"])["removed"], json!([]));
    assert!(kept.exists());
    assert_eq!(place.run(&["rm"]).code(), 0);

    let _owner = place.tend(&sim, &[]);
    let live: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap()).collect();
    let live: Vec<_> = live.iter().map(|entry| (entry.path(), entry.metadata().unwrap())).collect();
    // Two other layouts: one is idle, a process of the other holds its lock file.
    let segments = [at("tendmap-a7000000-v1-g4"), at("tendmap-a7000000-v2-g9")];
    let locks = [
        at("tendmap-a7000000-v1-0123456789abcdef.lock"),
        at("tendmap-a7000000-v2-0123456789abcdef.lock"),
    ];
    segments.iter().for_each(|path| fs::write(path, [7; 4096]).unwrap());
    locks.iter().for_each(|path| fs::write(path, []).unwrap());
    let other_key = at("tendmap-a7000001-v1-g1");
    fs::write(&other_key, [7; 4096]).unwrap();
    let holder = Holder::of(&locks[1], 3);
    let term = place.json(&["status", "--json"])["term"].clone();

    let first = place.json(&["rm", "--leftovers", "--json"]);
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    assert_eq!(first["removed"], json!([text(&segments[0]), text(&locks[0])]));
    assert_eq!(first["kept"][0]["at"], text(&segments[1]));
    assert_eq!(first["kept"][0]["attached"], 1);
    assert!(segments[1].exists() && locks[1].exists() && !segments[0].exists());
    let said = place.run(&["rm", "--leftovers"]);
    assert_eq!(said.code(), 0, "{}", said.stderr());
    assert!(said.stdout().starts_with("kept ") && said.stdout().contains("in use by 1 process"));
    drop(holder);
    // What can't be removed is an error, and does not prevent the rest.
    let directory = at("tendmap-a7000000-v1-g1");
    fs::create_dir(&directory).unwrap();
    let partly = place.run(&["rm", "--leftovers", "--json"]);
    let found = partly.json();
    assert_eq!((partly.code(), &found["kept"][0]["at"]), (6, &json!(text(&directory))));
    assert!(found["kept"][0]["error"].as_str().unwrap().contains("directory"), "{found}");
    assert_eq!(found["removed"], json!([text(&segments[1]), text(&locks[1])]));
    fs::remove_dir(&directory).unwrap();
    assert!(!segments[1].exists() && !locks[1].exists());
    assert_eq!(place.run(&["rm", "--leftovers"]).stdout(), "no leftovers of key 0xa7000000\n");

    // The live segment and its lock file are the same, and nothing has happened to its owner.
    use std::os::unix::fs::MetadataExt;
    for (path, was) in &live {
        assert_eq!(fs::metadata(path).unwrap().ino(), was.ino(), "{path:?}");
    }
    assert!(other_key.exists());
    let status = place.json(&["status", "--json"]);
    assert_eq!((&status["term"], &status["retired"]), (&term, &json!(false)));

    // A replaced generation: below the live one, and held by no process.
    assert_eq!(place.run(&["rm", "--force"]).code(), 0);
    wait_until("a successor", || place.run(&["status"]).code() == 0);
    let successor = place.json(&["ls", "--json", "--shm-key", "0xa7000000"]);
    assert!(successor["segments"][0]["generation"].as_u64() > Some(1), "{successor}");
    fs::write(&kept, &old).unwrap();
    fs::set_permissions(&kept, Permissions::from_mode(0o600)).unwrap();
    let third = place.json(&["rm", "--leftovers", "--json"]);
    assert_eq!((&third["removed"][0], &third["kept"]), (&json!(text(&kept)), &json!([])));
    assert_eq!(place.run(&["status"]).code(), 0);

    // The two flags contradict each other.
    assert_eq!(place.run(&["rm", "--leftovers", "--force"]).code(), 2);
}
