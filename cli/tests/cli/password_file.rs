//! `--password-file`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tendmap::sim::{Sim, SimConfig, SimUser};

use crate::tool::{Answer, Place, Running};
use crate::users::Host;

pub const SECRET: &str = "sesame-opens-it";

pub fn guarded() -> Sim {
    let mut config = SimConfig::fast(1);
    config.security = true;
    config.users = vec![SimUser::new("keeper", SECRET)];
    Sim::start(config).unwrap()
}

fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) {
    // The rights of an existing file do not matter to root only.
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn check(place: &Place, sim: &Sim, path: &Path, more: &[&str]) -> Answer {
    let host = sim.seeds()[0].to_string();
    let mut command = place.command(&["check", "--host", &host, "--user", "keeper"]);
    command.args(["--connect-timeout", "10s", "--password-file"]).arg(path).args(more);
    command.env_remove("CREDENTIALS_DIRECTORY").env_remove("TENDMAP_PASSWORD");
    Answer(command.output().unwrap())
}

#[test]
fn h151_a_password_comes_from_a_file_without_its_newline() {
    let (place, sim) = (Place::new(), guarded());
    let path = place.path().join("password");
    for (text, code) in [
        (SECRET.to_owned(), 0),
        (format!("{SECRET}\n"), 0),
        (format!("{SECRET}\n\n"), 6),
        (format!(" {SECRET}"), 6),
        (format!("{SECRET}\r\n"), 6),
        ("other\n".to_owned(), 6),
    ] {
        write(&path, &text, 0o600);
        let answer = check(&place, &sim, &path, &[]);
        assert_eq!(answer.code(), code, "{text:?}: {}{}", answer.stdout(), answer.stderr());
        assert!(!answer.stderr().contains("warning"), "{}", answer.stderr());
    }
    // By its variable and by the file of settings, too; a flag takes precedence.
    write(&path, SECRET, 0o600);
    let host = sim.seeds()[0].to_string();
    let config = place.path().join("tendmap.toml");
    write(&config, format!("[check]\npassword-file = {path:?}\n"), 0o644);
    let mut by_variable = place.command(&["check", "--host", &host, "--user", "keeper"]);
    by_variable.env("TENDMAP_PASSWORD_FILE", &path);
    let mut by_file = place.command(&["check", "--host", &host, "--user", "keeper"]);
    by_file.arg("--config").arg(&config);
    let mut by_both = place.command(&["check", "--host", &host, "--user", "keeper"]);
    by_both.arg("--password-file").arg(&path).env("TENDMAP_PASSWORD", "wrong");
    for mut command in [by_variable, by_file, by_both] {
        let answer = Answer(command.output().unwrap());
        assert_eq!(answer.code(), 0, "{command:?}: {}", answer.stderr());
    }
}

#[test]
fn h151_a_file_that_can_not_be_used_is_an_error_that_names_it() {
    let (place, sim) = (Place::new(), guarded());
    let path = |name: &str| place.path().join(name);
    write(&path("empty"), "", 0o600);
    write(&path("newline"), "\n", 0o600);
    write(&path("nul"), "a\0b", 0o600);
    write(&path("binary"), b"\xff\xfe", 0o600);
    write(&path("long"), vec![b'x'; 65537], 0o600);
    fs::create_dir(path("directory")).unwrap();
    symlink("nowhere", path("link")).unwrap();
    let cases: [(PathBuf, &str); 9] = [
        (path("empty"), "it is empty; write the password into it"),
        (path("newline"), "it is empty"),
        ("/dev/null".into(), "it is empty"),
        (path("nul"), "NUL byte"),
        (path("binary"), "not UTF-8"),
        (path("long"), "longer than 64 KiB"),
        ("/dev/zero".into(), "longer than 64 KiB"),
        (path("directory"), "Is a directory"),
        (path("link"), "No such file"),
    ];
    for (path, wanted) in &cases {
        for more in [&[][..], &["--json"]] {
            let answer = check(&place, &sim, path, more);
            let told = answer.stderr();
            assert_eq!((answer.code(), &*answer.stdout()), (2, ""), "{path:?}: {told}");
            assert!(told.contains(wanted) && told.contains(path.to_str().unwrap()), "{told}");
        }
    }
    write(&path("fine"), SECRET, 0o600);
    let both = check(&place, &sim, &path("fine"), &["--password", "x"]);
    assert_eq!(both.code(), 2);
    let told = both.stderr();
    assert!(told.contains("--password") && told.contains("cannot be used with"), "{told}");
    let mut no_user = place.command(&["check", "--host", "127.0.0.1:1", "--password-file"]);
    let answer = Answer(no_user.arg(path("fine")).output().unwrap());
    assert!(answer.code() == 2 && answer.stderr().contains("user"), "{}", answer.stderr());
}

#[test]
fn h151_a_file_of_another_user_is_an_error_that_names_it() {
    let Some(host) = Host::new() else { return };
    let path = host.place.path().join("password");
    write(&path, SECRET, 0o600);
    let file = path.to_str().unwrap();
    let args = ["check", "--host", "127.0.0.1:1", "--user", "keeper", "--password-file", file];
    let answer = host.run(5001, &args);
    assert_eq!(answer.code(), 2, "{}", answer.stderr());
    assert!(answer.stderr().contains("Permission denied"), "{}", answer.stderr());
    assert!(answer.stderr().contains(file), "{}", answer.stderr());
}

#[test]
fn h151_a_file_that_others_may_read_is_reported_but_no_credential_of_systemd() {
    let (place, sim) = (Place::new(), guarded());
    let credentials = place.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let (inside, outside) = (credentials.join("password"), place.path().join("password"));
    let link = place.path().join("link");
    symlink(&outside, &link).unwrap();
    let host = sim.seeds()[0].to_string();
    for (mode, exposed, in_credentials) in [
        (0o600, false, false),
        (0o400, false, false),
        (0o440, true, false),
        (0o640, true, false),
        (0o644, true, true),
        (0o604, true, true),
    ] {
        for (path, exposed) in [(&inside, in_credentials), (&outside, exposed), (&link, exposed)] {
            write(if path == &link { &outside } else { path }, SECRET, mode);
            let what = format!("{mode:o} {path:?}");
            let mut command = place.command(&["check", "--host", &host, "--user", "keeper"]);
            command.arg("--password-file").arg(path);
            command.env("CREDENTIALS_DIRECTORY", &credentials);
            let answer = Answer(command.output().unwrap());
            let problem = format!("the mode {mode:04o} of the password's file");
            assert_eq!(answer.stdout().contains(&problem), exposed, "{what}: {}", answer.stdout());
            assert_eq!(answer.code(), i32::from(exposed), "{what}: {}", answer.stderr());

            // Each mode once, and each path once.
            if mode != 0o644 && path != &outside {
                continue;
            }
            let mut command = place.command(&["tend", "--json", "--host", &host]);
            command.args(["--user", "keeper", "--password-file"]).arg(path);
            let mut tend = Running::start(command.env("CREDENTIALS_DIRECTORY", &credentials));
            tend.until("connected");
            assert_eq!(tend.interrupt(), 0);
            let told = tend.heard.iter().filter(|told| told["event"] == "secret_exposed");
            let modes: Vec<&Value> = told.map(|told| &told["mode"]).collect();
            let wanted = json!(format!("{mode:04o}"));
            assert_eq!(modes, if exposed { vec![&wanted] } else { vec![] }, "{what}");
            assert!(!tend.heard.iter().any(|told| told.to_string().contains(SECRET)));
        }
    }
}

fn tend(place: &Place, sim: &Sim, path: &Path) -> Running {
    let host = sim.seeds()[0].to_string();
    let mut command = place.command(&["tend", "--json", "--host", &host, "--user", "keeper"]);
    command.args(["--tend-interval", "50ms", "--wait", "--password-file"]).arg(path);
    Running::start(&mut command)
}

#[test]
fn h151_a_password_that_was_replaced_is_used_without_a_restart() {
    for by_signal in [true, false] {
        let (place, sim) = (Place::new(), guarded());
        let path = place.path().join("password");
        write(&path, "wrong\n", 0o600);
        let mut tend = tend(&place, &sim, &path);
        tend.until("tend_failed");
        // One that can't be used changes nothing.
        if by_signal {
            write(&path, "", 0o600);
            tend.signal(Signal::HUP);
            let failed = tend.until("reload_failed");
            assert!(failed["error"].as_str().unwrap().contains("it is empty"), "{failed}");
        }
        let new = place.path().join("new");
        write(&new, format!("{SECRET}\n"), 0o600);
        fs::rename(&new, &path).unwrap();
        if by_signal {
            tend.signal(Signal::HUP);
        }
        assert_eq!(tend.until("reloaded")["changed"], json!(["password-file"]));
        tend.until("connected");
        if by_signal {
            tend.signal(Signal::HUP);
            assert_eq!(tend.until("reloaded")["changed"], json!([]), "the same");
        }
        assert_eq!(tend.interrupt(), 0);
    }
}

#[test]
fn h151_a_password_may_come_through_a_pipe_but_only_once() {
    let (place, sim) = (Place::new(), guarded());
    let pipe = place.path().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
    let mut tend = tend(&place, &sim, &pipe);
    fs::write(&pipe, SECRET).unwrap();
    tend.until("connected");
    tend.signal(Signal::HUP);
    let failed = tend.until("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("not a regular file"), "{failed}");
    assert_eq!(tend.interrupt(), 0);
}
