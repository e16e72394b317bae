//! Real processes on one key: create, follow, close, kill, stop. Each test
//! named `hNN_…` would fail if tendmap had that hazard.

mod conformance;
mod followers;
mod growth;
mod healing;
mod interleavings;
mod ownership;
mod publication;
mod roles;
mod setup;
mod system_v;
mod worker;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    roles::work_if_asked();
    let mut arguments = Arguments::from_args();
    // Each test starts processes. Two tests at a time keep two cores busy without
    // delaying the processes.
    arguments.test_threads.get_or_insert(2);
    let mut trials = [
        ownership::trials(),
        publication::trials(),
        growth::trials(),
        healing::trials(),
        followers::trials(),
        interleavings::trials(),
    ]
    .concat_trials();
    trials.extend(conformance::trials());
    trials.extend(system_v::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

trait Concat {
    fn concat_trials(self) -> Vec<Trial>;
}

impl<const N: usize> Concat for [Vec<(&'static str, fn())>; N] {
    fn concat_trials(self) -> Vec<Trial> {
        let run = |test: fn()| -> Result<(), Failed> {
            test();
            Ok(())
        };
        let trial = |(name, test)| Trial::test(name, move || run(test));
        self.into_iter().flatten().map(trial).collect()
    }
}
