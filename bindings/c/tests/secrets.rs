//! The number of copies of a password, its hash and a token in a C program's memory.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::{compile, libraries};
use tempfile::TempDir;
use tendmap_testkit::memory::{NONE, ONE, copies};
use tendmap_testkit::scripted::{Fields, Scripted, answer, good};

const TOKEN: &[u8] = b"a-t0ken-that-is-found-wherever-it-lies";

fn login(_: &Fields) -> Option<Vec<u8>> {
    answer(0, &[(5, TOKEN), (6, &3600u32.to_be_bytes())])
}

#[test]
fn h122_a_c_program_that_wipes_its_own_copy_has_one_of_each_secret_and_none_once_closed() {
    let archive = libraries().join("libtendmap.a");
    let out = TempDir::new().unwrap();
    let program = compile("secrets.c", out.path(), &[archive.to_str().unwrap(), "-lm", "-ldl"]);
    for mode in ["INTERNAL", "EXTERNAL_INSECURE"] {
        let server = Scripted::start("A1");
        server.answers(login, good);
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut command = Command::new(&program);
        command.arg(server.address.to_string()).arg(directory.path()).arg(mode);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was compiled");
        let mut says = BufReader::new(child.stdout.take().unwrap()).lines();
        let (pid, mut to) = (child.id(), child.stdin.take().unwrap());
        let mut step = |line: &str, wanted: &str| {
            writeln!(to, "{line}").unwrap();
            assert_eq!(says.next().unwrap().unwrap(), wanted);
        };
        let of = |what: &str| format!("0pen-sesame-{what}-{:x}", std::process::id());
        let (first, second) = (of("first"), of("second"));
        step(&first, "connected");
        let hash = server.script.lock().unwrap().logins[0][&3].clone();
        let count = |password: &str| {
            let found = copies(pid, &[password.as_bytes(), &hash, TOKEN]);
            [found[0], found[1], found[2]]
        };
        assert_eq!(count(&first), [ONE, ONE, ONE], "{mode}");
        step(&second, "changed");
        // The client's thread takes the new password before its next tend.
        let passes = || server.script.lock().unwrap().asked.len();
        let before = passes();
        while passes() < before + 10 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(count(&first)[0], NONE, "{mode}");
        assert_eq!(count(&second)[0], ONE, "{mode}");
        step("close", "closed");
        assert_eq!(count(&second), [NONE; 3], "{mode}");
        writeln!(to, "end").unwrap();
        assert!(child.wait().unwrap().success());
    }
}
