//! Work while another thread does other work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tendmap_cli::failure::Failure;

/// Runs `work` while another thread runs `other` repeatedly, as long as `other`
/// succeeds. `work` begins after the first run of `other`.
///
/// # Errors
/// The error of `work`, and [`Failure::Failed`] if `other` failed.
pub fn beside<T>(
    mut other: impl FnMut() -> bool + Send,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Relaxed: nothing is handed over by these flags; the end of the scope orders
    // everything else.
    let (begun, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut well = true;
            while well && !stop.load(Ordering::Relaxed) {
                well = other();
                begun.store(true, Ordering::Relaxed);
            }
            well
        });
        while !begun.load(Ordering::Relaxed) && !thread.is_finished() {
            thread::yield_now();
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        match thread.join() {
            Ok(true) => result,
            _ => Err(Failure::Failed("the thread beside has failed".into())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_begins_after_the_other_and_ends_it() {
        let mut rounds = 0;
        let result = beside(
            || {
                rounds += 1;
                true
            },
            || Ok(7),
        );
        assert!(matches!(result, Ok(7)));
        assert!(rounds >= 1);
    }

    #[test]
    fn an_other_that_fails_or_panics_is_reported() {
        assert!(beside(|| false, || Ok(())).is_err());
        assert!(beside(|| panic!("it fails"), || Ok(())).is_err());
    }
}
