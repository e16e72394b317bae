//! A short demo.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_short_demo_routes_right_through_a_takeover_and_two_changes() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tendmap"))
        .args(["demo", "--seconds", "6", "--workers", "3", "--json", "--shm-directory"])
        .arg(directory.path())
        .output()
        .unwrap();
    let (text, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{text}{errors}");
    assert_eq!(errors, "");
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = summary.as_object().unwrap().keys().collect();
    let wanted = [
        "workers",
        "lookups",
        "wrong_routes",
        "torn_reads",
        "takeover_ms",
        "map_changes",
        "info_requests_per_s_per_node",
        "follower_connections",
    ];
    assert_eq!(keys, wanted);
    assert_eq!(summary["workers"], 3);
    assert!(summary["lookups"].as_u64().unwrap() > 0);
    assert_eq!(summary["wrong_routes"], 0);
    assert_eq!(summary["torn_reads"], 0);
    assert_eq!(summary["follower_connections"], 0);
    assert!(summary["takeover_ms"].as_f64().unwrap() < 5_000.0, "{summary}");
    assert!(summary["map_changes"].as_u64().unwrap() >= 2, "{summary}");
    // One pass per second, by one of the three workers.
    let requests = summary["info_requests_per_s_per_node"].as_f64().unwrap();
    assert!((0.3..2.0).contains(&requests), "{summary}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}
