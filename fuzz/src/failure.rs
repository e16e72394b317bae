//! What the configuration file's reader needs of the command line.

/// Why a command fails.
#[allow(dead_code)]
pub enum Failure {
    /// Something is wrong with what was given.
    Usage(String),
}
