//! A configuration file, settings and durations.

use std::time::Duration;

use tendmap::client::{Config, SETTINGS, parse_duration};

#[allow(dead_code)]
#[path = "../../../cli/src/duration.rs"]
mod duration;
#[allow(dead_code)]
#[path = "../../../cli/src/settings/file.rs"]
mod file;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(found) = parse_duration(text) {
        assert!(duration::show(found).len() <= 40);
        // Whole milliseconds survive a round trip.
        let whole = Duration::from_millis(found.as_millis().min(1 << 30) as u64);
        assert_eq!(parse_duration(&format!("{}ms", whole.as_millis())), Ok(whole));
    }
    for setting in SETTINGS {
        let mut config = Config::new(Vec::new());
        // A setting that is shown is parsed to the same value. Users are excluded,
        // because they are looked up, and so are secrets, which are not shown.
        if setting.name() != "shm_owner" && config.set(setting.name(), text).is_ok() {
            let shown = setting.get(&config);
            if !shown.is_empty() && setting.kind().unit() != Some("seconds") {
                let mut again = Config::new(Vec::new());
                again.set(setting.name(), &shown).unwrap();
                assert_eq!(setting.get(&again), shown, "{}", setting.name());
            }
        }
    }
    let lines = text.split('\n').count();
    match file::parse(text, &["tend", "status"]) {
        Ok(entries) => {
            for entry in entries {
                assert!((1..=lines).contains(&entry.line));
                assert!(entry.is_list || entry.values.len() == 1);
                assert!(entry.section.is_none_or(|name| name == "tend" || name == "status"));
            }
        }
        Err((line, problem)) => {
            assert!(line <= lines.max(1) && !problem.is_empty(), "{line}: {problem}");
        }
    }
}
