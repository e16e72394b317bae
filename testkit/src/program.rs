//! Programs that a test makes and runs.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Copies a program, and gives the copy that mode.
///
/// Another process copies it: a child that is forked here meanwhile would keep the copy
/// open for writing for a moment, and it could not be executed.
pub fn copy_program(from: &Path, to: &Path, mode: u32) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
    set_permissions(to, Permissions::from_mode(mode)).unwrap();
}
