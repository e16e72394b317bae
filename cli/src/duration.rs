//! Durations as people write and read them.

use std::time::Duration;

/// Reads a number and its unit: `500ms`, `1.5s`, `2m`, `1h`. A bare number is
/// in seconds, as it is in C and Python.
///
/// # Errors
/// What was found and what was wanted.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("{text:?}; wanted seconds, or a number with ms, s, m or h, such as 500ms");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(refused()),
    };
    let number: f64 = number.parse().map_err(|_| refused())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| refused())
}

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
    fn durations_are_read_with_their_unit() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("0.25s", 250),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("5", 5_000),
            ("0.5", 500),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        let texts = ["", ".", "s", "-1s", "-1", "1d", "1 s", "1.2.3s", "1e3s", "inf", "nan"];
        for text in texts.into_iter().chain(["99999999999999999999m"]) {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_short() {
        let shown = [3, 42, 420, 12_300, 180_000, 18_000_000, 400_000_000]
            .map(|ms| show(Duration::from_millis(ms)));
        assert_eq!(shown, ["3.0 ms", "42 ms", "0.4 s", "12 s", "3 min", "5 h", "5 days"]);
        assert_eq!(show(Duration::from_nanos(156_400)), "156 µs");
        assert_eq!(show(Duration::ZERO), "0 s");
    }
}
