//! Replies of one value: ids, names, builds, generations.

use tendmap::internals::wire::info::{parse_cluster_name, parse_generation, parse_node};
use tendmap::map::Build;

pub fn run(bytes: &[u8]) {
    if let Ok(id) = parse_node(bytes) {
        assert!(id.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(parse_node(id.as_str().as_bytes()).unwrap(), id);
    }
    if let Ok(Some(name)) = parse_cluster_name(bytes) {
        assert!(name.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(parse_cluster_name(name.as_str().as_bytes()).unwrap(), Some(name));
    }
    if let Some(build) = Build::parse(bytes) {
        assert_eq!(Build::parse(build.to_string().as_bytes()).unwrap(), build);
    }
    if let Ok(generation) = parse_generation(bytes) {
        assert_eq!(parse_generation(generation.to_string().as_bytes()).unwrap(), generation);
    }
}
