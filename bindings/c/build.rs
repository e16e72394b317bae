//! Gives the shared library its soname: programs that were linked against one
//! ABI never load another. And has it stay where it was loaded: its threads, and
//! the last errors of the host's, would lose their code with `dlclose`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtendmap.so.0");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
