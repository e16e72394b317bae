//! Durations as people write them, in every place: settings, flags, arguments.

use std::time::Duration;

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?}; wanted {}", DurationError::WANTED)]
#[non_exhaustive]
pub struct DurationError {
    /// What was given.
    pub found: String,
    /// Whether it is a duration, but longer than can be counted.
    pub too_long: bool,
}

impl DurationError {
    /// What is a duration.
    pub const WANTED: &'static str = "seconds, or a number with ms, s, m or h, such as 500ms";
}

/// Reads a number and its unit: `500ms`, `1.5s`, `2m`, `1h`. A number without a
/// unit is in seconds.
///
/// ```
/// use std::time::Duration;
/// use tendmap::client::parse_duration;
///
/// assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
/// assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
/// ```
///
/// # Errors
/// [`DurationError`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = |too_long| DurationError { found: text.to_owned(), too_long };
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let unit = units.iter().find_map(|(unit, worth)| Some((text.strip_suffix(unit)?, *worth)));
    let (number, worth) = unit.unwrap_or((text, 1.0));
    let number: f64 = number.trim_end().parse().map_err(|_| error(false))?;
    let seconds = number * worth;
    // The sign of -0.0 is lost here.
    if !number.is_finite() || seconds < 0.0 {
        return Err(error(false));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| error(true))
}

/// Writes a duration so that it is read as the same: with the largest unit of
/// those that leave a whole number, else in seconds.
pub(super) fn show_duration(duration: Duration) -> String {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    match (seconds, nanoseconds) {
        (0, 1..) if nanoseconds % 1_000_000 == 0 => format!("{}ms", nanoseconds / 1_000_000),
        (1.., 0) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (1.., 0) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (_, 0) => format!("{seconds}s"),
        _ => format!("{}s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            ("2 s", 2_000),
            // As Python writes a small number.
            ("1e-03", 1),
            ("1e3ms", 1_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in
            ["", ".", "s", "-1s", "-1", "1d", "1.2.3s", "inf", "nan", "1e999", "ms", "1s2", " 1"]
        {
            let error = parse_duration(text).unwrap_err();
            assert!(!error.too_long, "{text}");
            let wanted = "; wanted seconds, or a number with ms, s, m or h, such as 500ms";
            assert_eq!(error.to_string(), format!("{text:?}{wanted}"));
        }
        for text in ["99999999999999999999m", "1e30", "1e18h"] {
            assert!(parse_duration(text).unwrap_err().too_long, "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_people_write_them() {
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (120_000, "2m"),
            (3_600_000, "1h"),
        ] {
            assert_eq!(show_duration(Duration::from_millis(ms)), text);
        }
    }

    proptest! {
        #[test]
        fn whole_milliseconds_come_back(ms in 0u64..=1 << 30) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
    }
}
