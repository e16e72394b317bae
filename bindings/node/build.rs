//! Link arguments of an addon for Node. One of them keeps the library loaded: its threads
//! may outlive the last environment that uses it.

fn main() {
    napi_build::setup();
}
