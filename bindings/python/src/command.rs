//! The command line, as `python -m tendmap` and as the console script.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs a command of the command line; returns the exit code. `program` is what starts
/// this process again. To be called once, in a process that then ends.
#[pyfunction]
pub fn _main(py: Python<'_>, program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| tendmap_cli::run_in(program, arguments))
}
