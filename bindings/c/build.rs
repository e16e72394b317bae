//! Gives the shared library its soname, so that programs never load a library with
//! another ABI than the one they were linked against. It also keeps the library
//! loaded after `dlclose`: its threads, and the last errors of the program's threads,
//! still need its code.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtendmap.so.0");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
