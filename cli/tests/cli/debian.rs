//! The scripts of the Debian package, run where a systemd seems to run.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tendmap_testkit::skipped;

/// A host of its own in a mount namespace: its tools only write down how they were
/// called.
struct Host(TempDir);

impl Host {
    fn new() -> Host {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("units")).unwrap();
        fs::create_dir(folder.path().join("tools")).unwrap();
        for tool in ["systemctl", "systemd-sysusers", "systemd-tmpfiles"] {
            let path = folder.path().join("tools").join(tool);
            let log = folder.path().join("calls");
            let script = format!("#!/bin/sh\necho \"{tool} $*\" >>'{}'\n", log.display());
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Host(folder)
    }

    fn units(&self) -> PathBuf {
        self.0.path().join("units")
    }

    /// The calls of a script; `None` if this user may not mount.
    fn run(&self, script: &str, args: &str) -> Option<String> {
        let folder = self.0.path().display();
        let log = self.0.path().join("calls");
        let _ = fs::remove_file(&log);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/debian").join(script);
        let setup = format!(
            "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && \
             mount --bind '{folder}/units' /etc/systemd/system || exit 77; \
             PATH='{folder}/tools':$PATH exec sh '{}' {args}",
            script.display()
        );
        let args = ["-m", "--propagation", "private", "sh", "-c", &setup];
        let output = Command::new("unshare").args(args).output();
        let output = output.inspect_err(|error| skipped(&format!("no unshare here: {error}"))).ok();
        let output = output?;
        let text = String::from_utf8_lossy(&output.stderr);
        if matches!(output.status.code(), Some(1 | 77)) && !log.exists() {
            skipped(&format!("this user may not unshare and mount: {}", text.trim()));
            return None;
        }
        assert!(output.status.success(), "{script:?} {args:?}: {text}");
        Some(fs::read_to_string(&log).unwrap())
    }
}

/// A tender starts for as long as its cluster is down, and `systemctl restart` waits.
#[test]
fn h246_an_upgrade_does_not_wait_for_a_cluster() {
    let host = Host::new();
    let Some(first) = host.run("postinst", "configure ''") else { return };
    assert!(!first.contains("restart"), "{first}");
    let upgrade = host.run("postinst", "configure 0.0.9-1").unwrap();
    let restart = upgrade.lines().find(|line| line.contains("try-restart")).unwrap();
    assert!(restart.contains(" --no-block "), "{restart}");
}

#[test]
fn h246_a_purge_disables_what_was_enabled() {
    let host = Host::new();
    let wants = host.units().join("multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    let ours = ["tendmap@main.service", "tendmap@other.service", "tendmap-metrics.service"];
    for name in ours.into_iter().chain(["tendmap-other.service", "ssh.service"]) {
        symlink("/lib/systemd/system/none", wants.join(name)).unwrap();
    }
    let left = || {
        let here = |name: &&str| wants.join(name).is_symlink();
        (ours.iter().filter(|name| here(name)).count(), here(&"ssh.service"))
    };
    let Some(calls) = host.run("postrm", "remove") else { return };
    assert!(calls.contains("daemon-reload"), "{calls}");
    // A removal can be taken back.
    assert_eq!(left(), (3, true));
    host.run("postrm", "purge").unwrap();
    assert_eq!(left(), (0, true));
    assert!(wants.join("tendmap-other.service").is_symlink());
}
