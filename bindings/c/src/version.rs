//! The version of the library.

use core::ffi::c_char;

/// The header's major version; it is raised when programs must change.
pub const TENDMAP_VERSION_MAJOR: u32 = 0;
/// The minor version; it is raised when something was added.
pub const TENDMAP_VERSION_MINOR: u32 = 1;
/// The patch version; it is raised when something was repaired.
pub const TENDMAP_VERSION_PATCH: u32 = 0;

const fn number(digits: &str) -> u32 {
    match u32::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("a version is made of numbers"),
    }
}

// The header has the version of the package.
const _: () = assert!(TENDMAP_VERSION_MAJOR == number(env!("CARGO_PKG_VERSION_MAJOR")));
const _: () = assert!(TENDMAP_VERSION_MINOR == number(env!("CARGO_PKG_VERSION_MINOR")));
const _: () = assert!(TENDMAP_VERSION_PATCH == number(env!("CARGO_PKG_VERSION_PATCH")));

/// The version of the loaded library, such as "0.1.0". The text is static and must
/// not be freed.
///
/// Threads: any. Fork: any process.
#[unsafe(no_mangle)]
pub extern "C" fn tendmap_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
