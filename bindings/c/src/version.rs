//! Which tendmap it is.

use core::ffi::c_char;

/// The version of this header: major, raised when programs must change.
pub const TENDMAP_VERSION_MAJOR: u32 = 0;
/// Minor, raised when something was added.
pub const TENDMAP_VERSION_MINOR: u32 = 1;
/// Patch, raised when something was mended.
pub const TENDMAP_VERSION_PATCH: u32 = 0;

/// The version of the library that is loaded, such as "0.1.0". A text that
/// stays; nobody frees it.
///
/// Threads: any. Fork: any process.
#[unsafe(no_mangle)]
pub extern "C" fn tendmap_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_the_version_that_the_package_has() {
        let header =
            format!("{TENDMAP_VERSION_MAJOR}.{TENDMAP_VERSION_MINOR}.{TENDMAP_VERSION_PATCH}");
        assert_eq!(header, env!("CARGO_PKG_VERSION"));
    }
}
