//! `tendmap metrics --textfile`.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::tool::{Answer, Place, Running, wait_until};

#[test]
fn h142_a_file_that_can_not_be_written_stays_as_it_was() {
    let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("tendmap.prom");
    let path = file.to_str().unwrap();
    assert_eq!(place.run(&["metrics", "--textfile", path]).code(), 0);
    let before = std::fs::read_to_string(&file).unwrap();
    assert!(before.contains("tendmap_segments 0"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    // No byte more can be written, as on a full file system.
    let mut full = Command::new("sh");
    full.args(["-c", "ulimit -f 0; exec \"$@\"", "sh", crate::tool::BINARY]);
    full.args(["metrics", "--textfile", path, "--shm-directory"]).arg(place.path());
    let answer = Answer(full.output().unwrap());
    assert_eq!(answer.code(), 6, "{}", answer.stderr());
    let told = answer.stderr().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("can't write") && told.contains("unchanged"), "{told}");
    assert!(told.contains("RLIMIT_FSIZE") && !told.contains(".tendmap-"), "{told}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    for wrong in ["/proc/tendmap.prom", "/none/tendmap.prom", folder.path().to_str().unwrap()] {
        assert_eq!(place.run(&["metrics", "--textfile", wrong]).code(), 6, "{wrong}");
    }
}

#[test]
fn a_file_is_written_again_at_each_interval() {
    let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("tendmap.prom");
    let args = ["metrics", "--json", "--interval", "100ms", "--textfile", file.to_str().unwrap()];
    let mut running = Running::start(&mut place.command(&args));
    running.until("writing");
    std::fs::remove_file(&file).unwrap();
    wait_until("the file again", || file.exists());
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Root may replace a device: `--textfile /dev/null` must not.
#[test]
fn h142_a_pipe_is_refused_and_stays_one() {
    let (place, folder) = (Place::new(), tempfile::tempdir().unwrap());
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let answer = place.run(&["metrics", "--textfile", pipe.to_str().unwrap()]);
    assert_eq!(answer.code(), 6);
    assert!(answer.stderr().contains("wanted a regular file"), "{}", answer.stderr());
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
