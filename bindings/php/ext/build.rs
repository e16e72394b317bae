//! PHP unloads its extensions at the end, while threads of this one may still run. So the
//! library stays in memory.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
