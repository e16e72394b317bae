//! A terminal in which a command runs, as its user sees it.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::tool::wait_until;

/// A server of tmux with one window.
pub struct Tmux {
    directory: TempDir,
}

impl Tmux {
    /// Starts a shell command in a terminal of that size; `None`, with the reason
    /// printed, if there is no tmux here.
    pub fn start(size: (u16, u16), command: &str) -> Option<Tmux> {
        let found = Command::new("tmux").arg("-V").stdout(Stdio::null()).status();
        if found.is_err() {
            tendmap_testkit::skipped("no tmux here");
            return None;
        }
        let tmux = Tmux { directory: tempfile::tempdir().unwrap() };
        let (columns, lines) = (size.0.to_string(), size.1.to_string());
        // What it has written stays on the screen after its end.
        let command = format!("{command}; echo \"ended: $?\"; read wait_for_ever");
        let new = ["new-session", "-d", "-x", &columns, "-y", &lines, "sh", "-c", &command];
        tmux.run(&new);
        Some(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-f", "/dev/null", "-u", "-S"]).arg(self.directory.path().join("socket"));
        // The terminal belongs to nobody's session.
        command.env_remove("TMUX").env_remove("NO_COLOR").env_remove("COLORTERM");
        let output = command.args(args).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The same with the sequences for colours.
    pub fn coloured(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// A variable of the terminal, such as `alternate_on`.
    pub fn variable(&self, name: &str) -> String {
        self.run(&["display-message", "-p", &format!("#{{{name}}}")]).trim().to_owned()
    }

    pub fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    pub fn resize(&self, (columns, lines): (u16, u16)) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.run(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// Waits until all of these stand on the screen; returns it.
    #[track_caller]
    pub fn until(&self, wanted: &[&str]) -> String {
        let mut screen = String::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("a screen", || {
                screen = self.screen();
                wanted.iter().all(|wanted| screen.contains(wanted))
            });
        }));
        assert!(shown.is_ok(), "no {wanted:?} in\n{screen}");
        screen
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.directory.path().join("socket")).arg("kill-server");
        let _ = command.stdin(Stdio::null()).output();
    }
}
