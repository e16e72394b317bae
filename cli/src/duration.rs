//! Durations as text for people.

use std::time::Duration;

/// A duration in a few characters: `156 µs`, `0.4 s`, `12 s`, `3 min`, `5 h`.
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        0.0 => "0 s".to_owned(),
        ..0.000_999_5 => format!("{:.0} µs", seconds * 1_000_000.0),
        ..0.009_95 => format!("{:.1} ms", seconds * 1000.0),
        ..0.0995 => format!("{:.0} ms", seconds * 1000.0),
        ..9.95 => format!("{seconds:.1} s"),
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_short() {
        let shown = [3, 42, 420, 12_300, 180_000, 18_000_000, 400_000_000]
            .map(|ms| show(Duration::from_millis(ms)));
        assert_eq!(shown, ["3.0 ms", "42 ms", "0.4 s", "12 s", "3 min", "5 h", "5 days"]);
        assert_eq!(show(Duration::from_nanos(156_400)), "156 µs");
        assert_eq!(show(Duration::ZERO), "0 s");
    }
}
