//! A short bench.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(directory: &tempfile::TempDir, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tendmap-harness"));
    command.args(["bench", "--seconds", "1", "--followers", "3", "--shm-directory"]);
    command.arg(directory.path()).args(flags).output().unwrap()
}

#[test]
fn a_short_bench_tells_every_figure_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let output = bench(&directory, &["--json"]);
    let (text, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{text}{errors}");
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    let found = summary.as_object().unwrap();
    let wanted = [
        "floor_ns",
        "lookup_ns",
        "pinned_lookup_ns",
        "floor_latency_ns",
        "lookup_latency_ns",
        "lookup_two_readers_ns",
        "lookup_while_publishing_ns",
        "retries",
        "digest_ns",
        "route_key_ns",
        "batch_key_ns",
        "lanes",
        "publish_us",
        "publish_one_percent_us",
        "memcpy_us",
        "attach_us",
        "mirror_steady_percent",
        "mirror_delay_ms",
        "mirror_delay_ms_p95",
        "takeover_ms_p50",
        "takeover_ms_p99",
        "handover_ms_p50",
        "hung_takeover_ms",
        "hung_bound_ms",
    ];
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted);
    for (key, value) in found {
        let value = value.as_f64().unwrap_or_else(|| panic!("{key}: {text}"));
        // It is possible that none of the few lookups met a publication.
        assert!(value > 0.0 || key == "retries", "{key}: {text}");
    }
    assert!(found["retries"].as_f64().unwrap() < 1.0, "a share: {text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn for_people_it_is_a_table_of_medians_and_ratios() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let output = bench(&directory, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for wanted in
        ["× the floor", "× the digest", "× the copy", "3 followers", "hand-over", "mirror"]
    {
        assert!(text.contains(wanted), "{wanted:?} is missing in\n{text}");
    }
}
