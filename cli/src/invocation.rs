//! How the command line was started: by its own binary, or inside another program.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::Command;
use std::sync::OnceLock;

/// The program that the command line runs in, if it is not its own binary.
static HOST: OnceLock<Host> = OnceLock::new();

/// A program that contains the command line, such as an interpreter with a module.
#[derive(Debug)]
pub struct Host {
    /// The program, and the arguments with which it runs the command line.
    pub program: Vec<OsString>,
    /// The arguments of the command line, without a name of the program.
    pub arguments: Vec<OsString>,
}

impl Host {
    /// Makes it the program of this process. The first one remains.
    pub fn set(self) {
        let _ = HOST.set(self);
    }
}

/// The name of the program, and its arguments.
pub fn arguments() -> Vec<OsString> {
    match HOST.get() {
        Some(host) => {
            [OsString::from("tendmap")].into_iter().chain(host.arguments.clone()).collect()
        }
        None => env::args_os().collect(),
    }
}

/// Another process of the command line, still without arguments.
///
/// # Errors
/// The program of this process can't be found.
pub fn another() -> io::Result<Command> {
    match HOST.get().and_then(|host| host.program.split_first()) {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            Ok(command)
        }
        None => Ok(Command::new(env::current_exe()?)),
    }
}
