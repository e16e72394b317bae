//! The processes that are attached to an official client's segment, and what another
//! user sees.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tendmap::internals::layout::shm_find;
use tendmap_testkit::c_client::{D, E, F, OWNER_PID, RawSegment, library};

use super::{dead, healthy, kinds, only, run, segment};
use crate::system_v::Key;
use crate::tool::Answer;
use crate::users::Host;

/// A process that has a segment mapped, and a library that says a version.
struct Client {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Client {
    /// `None`, and told why, where there is no Python.
    fn start(segment: &RawSegment, version: &str, removed: bool) -> Option<Client> {
        const SCRIPT: &str = "import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
assert libc.shmat(int(sys.argv[1]), None, 0) not in (None, 2**64 - 1)
file = os.open(sys.argv[2], os.O_RDONLY)
code = mmap.mmap(file, 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
print('ready', flush=True)
sys.stdin.read()
";
        // Not in /dev/shm, which may forbid to execute.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aerospike.cpython-311.so");
        std::fs::write(&path, library(version)).unwrap();
        let child = Command::new("python3")
            .args(["-c", SCRIPT, &segment.id.to_string()])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                tendmap_testkit::skipped(&format!("no python3 here: {error}"));
                return None;
            }
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        if removed {
            std::fs::remove_file(&path).unwrap();
        }
        Some(Client { child, _folder: folder })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_attached_client_says_its_version_and_whether_its_layout_matches() {
    for (version, removed, problems, matches) in [
        (E.version, false, &[][..], json!(true)),
        (F.version, false, &["wrong_layout"], json!(false)),
        (D.version, false, &["wrong_layout"], json!(false)),
        ("99.1.0", false, &[], Value::Null),
        (F.version, true, &["wrong_layout"], json!(false)),
    ] {
        let Some(key) = Key::new() else { return };
        let segment = segment(&key, &healthy(E));
        let _owner = segment.attach();
        let Some(client) = Client::start(&segment, version, removed) else { return };
        let answer = run(&["status"], &key, &["--json"]);
        let found = only(&answer);
        assert_eq!(kinds(&found), problems, "{version}: {found}");
        assert_eq!(answer.code(), i32::from(!problems.is_empty()));
        let attached = found["attached"].as_array().unwrap();
        assert_eq!(attached.len(), 2, "{found}");
        let found = attached.iter().find(|found| found["pid"] == client.child.id()).unwrap();
        assert!(found["program"].as_str().unwrap().starts_with("python3"), "{found}");
        assert_eq!(
            (&found["client_version"], &found["layout_matches"]),
            (&json!(version), &matches)
        );
    }
}

#[test]
fn another_user_sees_what_it_may() {
    let (Some(key), Some(host)) = (Key::new(), Host::new()) else { return };
    let segment = segment(&key, &healthy(F));
    let _owner = segment.attach();
    let hex = key.hex();
    let nobody = |action: &str, more: &[&str]| {
        let mut command = host.command(65_534, &["c-client", action, &hex, "--json"]);
        Answer(command.args(more).gid(65_534).output().unwrap())
    };
    let answer = nobody("status", &[]);
    assert_eq!((answer.code(), kinds(&only(&answer))), (1, vec!["denied"]));
    for action in ["map", "release", "rm"] {
        let answer = nobody(action, &[]);
        assert_eq!(answer.code(), 6, "{action}: {}", answer.stdout());
    }
    let open = Key::new().unwrap();
    let open = RawSegment::create(open.key, &healthy(F), 0o666).unwrap();
    let _owner = open.attach();
    let hex = format!("{:#010x}", open.key);
    let nobody = |action: &str, more: &[&str]| {
        let mut command = host.command(65_534, &["c-client", action, &hex, "--json"]);
        Answer(command.args(more).gid(65_534).output().unwrap())
    };
    let answer = nobody("status", &[]);
    assert_eq!(answer.code(), 0, "{}", answer.stdout());
    let found = only(&answer);
    assert_eq!(
        (&found["owner"]["state"], &found["unseen_mappings"]),
        (&json!("can't be examined"), &json!(1))
    );
    let refused = nobody("release", &[]).error()["message"].to_string();
    assert!(refused.contains("may not examine it"), "{refused}");
    open.attach().store_u32(OWNER_PID, dead());
    let refused = nobody("release", &[]).error()["message"].to_string();
    assert!(refused.contains("may be one of them"), "{refused}");
    let refused = nobody("rm", &["--force"]);
    assert_eq!(refused.code(), 6);
    assert!(refused.stderr().contains("can't remove it"), "{}", refused.stderr());
    assert_eq!(shm_find(open.key).unwrap(), Some(open.id));
}

/// In an IPC namespace of its own: makes the first segment there, which has the number 0,
/// with the content of a file, attaches, and does what the third argument says.
const FIRST: &str = "import ctypes, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
content = open(sys.argv[1], 'rb').read()
id = libc.shmget(0x7b000001, len(content), 0o3600)
at = libc.shmat(id, None, 0)
ctypes.memmove(at, content, len(content))
if sys.argv[2] == 'wait':
    print('ready', id, flush=True)
    sys.stdin.read()
else:
    sys.exit(subprocess.run([sys.argv[2], 'c-client', 'status', '0x7b000001', '--json']).returncode)
";

#[test]
fn h139_processes_of_another_ipc_namespace_do_not_count_as_attached() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("segment");
    std::fs::write(&file, healthy(E)).unwrap();
    let first = |what: &str| {
        let mut command = Command::new("unshare");
        command.args(["--ipc", "python3", "-c", FIRST]).arg(&file).arg(what);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut other = match first("wait").spawn() {
        Ok(child) => Client { child, _folder: tempfile::tempdir().unwrap() },
        Err(error) => return tendmap_testkit::skipped(&format!("no unshare here: {error}")),
    };
    let mut line = String::new();
    BufReader::new(other.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        return tendmap_testkit::skipped(
            "this machine has no python3, or permits no IPC namespace",
        );
    }
    assert_eq!(line, "ready 0\n");
    let found = only(&Answer(first(crate::tool::BINARY).output().unwrap()));
    assert_eq!((&found["shmid"], &found["nattch"]), (&json!(0), &json!(1)));
    assert_eq!(found["attached"].as_array().unwrap().len(), 1, "{found}");
    assert_ne!(found["attached"][0]["pid"], other.child.id());
}
