//! Secrets that a container engine has mounted.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::statfs;
use tempfile::TempDir;
use tendmap::sim::{Sim, SimConfig};
use tendmap_testkit::authority::{Authority, NAME};

use crate::password_file::{SECRET, guarded};
use crate::tool::{Answer, BINARY};

const TMPFS: u64 = 0x0102_1994;

/// Mounts `volume`, with the secret behind links as a kubelet writes it, at `mounted` in a
/// mount namespace of its own, and executes the rest.
const MOUNT: &str = r#"set -e
    volume=$1 mounted=$2 kind=$3 how=$4 owner=$5 mode=$6
    shift 6
    [ $kind = disk ] || mount -t $kind $kind "$volume"
    mkdir "$volume/..1"
    ln -s ..1 "$volume/..data"
    ln -s ..data/secret "$volume/secret"
    printf %s "$SECRET" >"$volume/..1/secret"
    chown $owner "$volume/..1/secret"
    chmod $mode "$volume/..1/secret"
    mount --bind "$volume" "$mounted"
    mount -o remount,bind,$how "$mounted"
    exec "$@""#;

/// The kind of a mount, its access, the owner and the mode of a file there.
type Kind = (&'static str, &'static str, u32, u32);

/// Kinds of mounts, and whether other users may read the secret.
const KINDS: [(Kind, bool); 8] = [
    (("tmpfs", "ro", 0, 0o440), false),
    (("ramfs", "ro", 0, 0o440), false),
    (("tmpfs", "ro", 0, 0o640), false),
    (("tmpfs", "ro", 0, 0o444), true),
    (("tmpfs", "ro", 0, 0o644), true),
    // Those of no engine: one that can be written, one of another user, and one on a
    // disk, which a service may see read-only.
    (("tmpfs", "rw", 0, 0o440), true),
    (("tmpfs", "ro", 5003, 0o440), true),
    (("disk", "ro", 0, 0o440), true),
];

struct Mounts(TempDir);

impl Mounts {
    /// `None` if this user can't mount.
    fn new() -> Option<Mounts> {
        let able = Command::new("unshare").args(["--mount", "true"]).output();
        if !able.is_ok_and(|able| able.status.success()) {
            tendmap_testkit::skipped("this user may not unshare and mount");
            return None;
        }
        Some(Mounts(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("mounted/secret")
    }

    /// `tendmap check` with more arguments, which sees the secret at [`file`](Self::file);
    /// `None` if there is no disk.
    fn check(&self, (kind, how, owner, mode): Kind, secret: &str, args: &[&str]) -> Option<Answer> {
        let in_memory = statfs(self.0.path()).is_ok_and(|found| found.f_type as u64 == TMPFS);
        if kind == "disk" && in_memory {
            tendmap_testkit::skipped("the folder for tests is in memory");
            return None;
        }
        let (volume, mounted) = (self.0.path().join("volume"), self.0.path().join("mounted"));
        for folder in [&volume, &mounted] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir(folder).unwrap();
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", MOUNT, "sh"]);
        command.args([&volume, &mounted]).args([kind, how, &owner.to_string()]);
        command.arg(format!("{mode:o}")).args([BINARY, "check", "--connect-timeout", "10s"]);
        command.args(args).env("SECRET", secret);
        command.env_remove("CREDENTIALS_DIRECTORY").env_remove("TENDMAP_PASSWORD");
        Some(Answer(command.output().unwrap()))
    }
}

#[test]
fn h207_a_password_that_a_container_engine_mounts_for_a_group_is_not_exposed() {
    let (Some(mounts), sim) = (Mounts::new(), guarded()) else { return };
    let (host, file) = (sim.seeds()[0].to_string(), mounts.file());
    let args = ["--host", &host, "--user", "keeper", "--password-file", file.to_str().unwrap()];
    for (kind, exposed) in KINDS {
        let Some(answer) = mounts.check(kind, SECRET, &args) else { continue };
        let what = format!("{kind:?}: {}{}", answer.stdout(), answer.stderr());
        assert_eq!(answer.stdout().contains("of the password's file"), exposed, "{what}");
        assert_eq!(answer.code(), i32::from(exposed), "{what}");
    }
}

#[test]
fn h207_settings_that_a_container_engine_mounts_for_a_group_are_not_exposed() {
    let (Some(mounts), sim) = (Mounts::new(), guarded()) else { return };
    let (host, file) = (sim.seeds()[0].to_string(), mounts.file());
    let settings = format!("host = [{host:?}]\nuser = \"keeper\"\npassword = {SECRET:?}\n");
    for (kind, exposed) in KINDS {
        let args = ["--config", file.to_str().unwrap()];
        let Some(answer) = mounts.check(kind, &settings, &args) else { continue };
        let what = format!("{kind:?}: {}{}", answer.stdout(), answer.stderr());
        // Those that all users may read are refused.
        let (_, _, _, mode) = kind;
        assert_eq!(answer.code(), if mode & 0o004 == 0 { 0 } else { 2 }, "{what}");
        assert_eq!(answer.stderr().contains("chmod 600"), exposed, "{what}");
    }
}

#[test]
fn h207_a_key_that_a_container_engine_mounts_for_a_group_is_not_exposed() {
    let Some(mounts) = Mounts::new() else { return };
    let authority = Authority::new();
    let mut config = SimConfig::fast(1);
    config.tls = Some(authority.nodes());
    let sim = Sim::start(config).unwrap();
    authority.issue("client", &["client"], false);
    let host = format!("127.0.0.1:{NAME}:{}", sim.tls_seeds()[0].port());
    let path = |name: &str| authority.path(name).to_str().unwrap().to_owned();
    let (cafile, certfile, file) = (path("ca.pem"), path("client.pem"), mounts.file());
    let key = fs::read_to_string(authority.path("client.key")).unwrap();
    for (kind, exposed) in KINDS {
        let mut args = vec!["--host", &host, "--tls-cafile", &cafile, "--tls-certfile", &certfile];
        args.extend(["--tls-keyfile", file.to_str().unwrap()]);
        let Some(answer) = mounts.check(kind, &key, &args) else { continue };
        let what = format!("{kind:?}: {}{}", answer.stdout(), answer.stderr());
        assert_eq!(answer.stdout().contains("of keyfile"), exposed, "{what}");
        assert_eq!(answer.code(), i32::from(exposed), "{what}");
    }
}
