//! A short soak.

use std::process::{Command, Output};

use serde_json::Value;

fn soak(directory: &tempfile::TempDir, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tendmap-harness"));
    command.args(["soak", "--seed", "5", "--shm-directory"]).arg(directory.path()).args(flags);
    command.output().unwrap()
}

#[test]
fn a_short_soak_finds_nothing_torn_nothing_older_and_nothing_wrong() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let output = soak(&directory, &["--seconds", "8", "--workers", "4", "--json"]);
    let (text, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{text}{errors}");
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = summary.as_object().unwrap().keys().collect();
    let wanted = [
        "kills",
        "stops",
        "takeovers",
        "publications",
        "snapshots_checked",
        "torn",
        "went_back",
        "wrong_routes",
        "longest_reader_gap_us",
        "takeover_ms_p50",
        "takeover_ms_p99",
    ];
    assert_eq!(keys[..wanted.len()], wanted);
    for key in ["torn", "went_back", "wrong_routes"] {
        assert_eq!(summary[key], 0, "{summary}");
    }
    for key in ["kills", "stops", "takeovers", "publications", "snapshots_checked", "lookups"] {
        assert!(summary[key].as_u64().unwrap() > 0, "{key}: {summary}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_soak_of_system_v_segments_leaves_none_and_finds_nothing_wrong() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let flags = ["--shm-backend=sysv", "--seconds", "5", "--workers", "4", "--json"];
    let output = soak(&directory, &flags);
    let errors = String::from_utf8(output.stderr).unwrap();
    if errors.contains("not implemented") {
        tendmap_testkit::skipped(&format!("no System V shared memory here: {errors}"));
        return;
    }
    assert!(output.status.success(), "{errors}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["torn", "went_back", "wrong_routes"] {
        assert_eq!(summary[key], 0, "{summary}");
    }
    assert!(summary["takeovers"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(tendmap::segment::list(directory.path()).unwrap().len(), 0, "nothing is left");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_soak_tells_its_seed_and_an_aligned_summary() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let output = soak(&directory, &["--seconds", "1", "--workers", "3"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("seed 5\n"), "{text}");
    assert!(text.contains("\nwrong routes         0\n"), "{text}");
}
