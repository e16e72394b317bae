//! A set-user-id copy of the program, whose environment an untrusted user chooses.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::XattrFlags;
use rustix::process::geteuid;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Answer, BINARY};
use tendmap_testkit::authority::{Authority, NAME};

/// The mode of a copy that has a capability.
const CAPABLE: u32 = 0o751;

/// A user id that no user of this host has.
const STRANGER: u32 = 65534;

/// What `setcap cap_net_raw+ep` writes: version 2 with the effective bit, then the
/// permitted and the inheritable capabilities, 32 bits at a time.
const CAPABILITY: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];

/// A copy of the program with this mode, which another user may run. With mode
/// [`CAPABLE`] it has a capability.
fn copy(mode: u32) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("tendmap");
    tendmap_testkit::copy_program(Path::new(BINARY), &program, mode);
    if mode == CAPABLE {
        give_capability(&program).unwrap();
    }
    let mut command = Command::new(program);
    command.uid(STRANGER).gid(STRANGER).current_dir("/").env_clear();
    (folder, command)
}

fn give_capability(program: &Path) -> rustix::io::Result<()> {
    let bytes: Vec<u8> = CAPABILITY.iter().flat_map(|word| word.to_le_bytes()).collect();
    rustix::fs::setxattr(program, "security.capability", &bytes, XattrFlags::empty())
}

#[test]
fn h114_the_environment_of_a_set_user_id_program_decides_nothing() {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can make a set-user-id program of another user");
        return;
    }
    let mount = tempfile::tempdir().unwrap();
    let flags = nix::sys::statvfs::statvfs(mount.path()).unwrap().flags();
    if flags.contains(nix::sys::statvfs::FsFlags::ST_NOSUID) {
        tendmap_testkit::skipped(&format!(
            "{} takes no set-user-id programs",
            mount.path().display()
        ));
        return;
    }
    let authority = Authority::new();
    let mut config = SimConfig::fast(1);
    config.tls = Some(authority.nodes());
    let sim = Sim::start(config).unwrap();
    let host = format!("127.0.0.1:{NAME}:{}", sim.tls_seeds()[0].port());
    let folder = authority.path("");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(authority.path("ca.pem"), Permissions::from_mode(0o644)).unwrap();
    let certificates = tempfile::tempdir().unwrap();
    fs::set_permissions(certificates.path(), Permissions::from_mode(0o755)).unwrap();
    fs::copy(authority.path("ca.pem"), certificates.path().join("ca.pem")).unwrap();
    for (mode, counts) in [(0o755, true), (0o4755, false), (0o2755, false), (CAPABLE, false)] {
        if mode == CAPABLE {
            let file = tempfile::NamedTempFile::new().unwrap();
            if let Err(error) = give_capability(file.path()) {
                tendmap_testkit::skipped(&format!("no file gets a capability here: {error}"));
                continue;
            }
        }
        for (name, value) in [
            ("SSL_CERT_FILE", authority.path("ca.pem")),
            ("SSL_CERT_DIR", certificates.path().into()),
        ] {
            let (_folder, mut command) = copy(mode);
            command.args(["check", "--tls-enable", "--host", &host]).env(name, value);
            let answer = Answer(command.output().unwrap());
            let (out, err) = (answer.stdout(), answer.stderr());
            assert_eq!(answer.code() == 0, counts, "{name} with mode {mode:04o}: {out}{err}");
            assert_eq!(err.contains("TLS") || err.contains("authority"), !counts, "{err}");
        }
        // Every setting has a variable.
        let (_folder, mut command) = copy(mode);
        command.args(["check", "--host", &host, "--tls-enable"]);
        command.env("TENDMAP_TLS_CAFILE", authority.path("ca.pem"));
        let answer = Answer(command.output().unwrap());
        assert_eq!(answer.code() == 0, counts, "TENDMAP_TLS_CAFILE with mode {mode:04o}");
        let (_folder, mut command) = copy(mode);
        command.arg("ls").env("TENDMAP_LOG", "no level");
        command.env("TENDMAP_CONFIG", "/no/such/file").env("RUST_LOG", "trace");
        let answer = Answer(command.output().unwrap());
        assert_eq!(answer.code() == 2, counts, "mode {mode:04o}: {}", answer.stderr());
    }
}
