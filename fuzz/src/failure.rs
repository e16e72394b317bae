//! The part of the command line that the parser of the configuration file needs.

/// Why a command failed.
#[allow(dead_code)]
pub enum Failure {
    /// An invalid flag or setting.
    Usage(String),
}
