//! Gives the shared library its soname: programs that were linked against one
//! ABI never load another.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtendmap.so.0");
}
