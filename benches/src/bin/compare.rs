//! Compares all contenders in one process and run.
//!
//! ```text
//! cargo run --release -p tendmap-benches --bin compare -- [--rounds N] [--only TEXT]
//! ```
//!
//! With `--features heavy-peers`, which takes minutes to build, mmap-sync and
//! iceoryx2's blackboard take part, too.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tendmap_benches::contenders::{Contender, all};
use tendmap_benches::measure::{Beside, SAMPLE, Task, samples, time, with};
use tendmap_benches::rig::order;
use tendmap_harness::sample::Samples;

/// One way to measure: what is timed, and what runs at the same time.
#[derive(Clone, Copy)]
struct Mode {
    title: &'static str,
    task: Task,
    beside: Beside,
}

/// The results of one contender.
#[derive(Default)]
struct Results {
    /// For each mode, the nanoseconds of each round, and the ratio to the floor in
    /// the same round.
    times: Vec<Samples>,
    ratios: Vec<Samples>,
    /// Samples while nothing else runs, and while the owner publishes.
    idle: Samples,
    busy: Samples,
    lookups: u64,
    publications: u64,
}

fn main() -> ExitCode {
    let (rounds, only) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("compare: {error}; usage: compare [--rounds N] [--only TEXT]");
            return ExitCode::from(2);
        }
    };
    let order = order();
    let mut contenders = all();
    // The floor always takes part, because all results are multiples of it.
    let mut index = 0;
    contenders.retain(|contender| {
        index += 1;
        index == 1 || only.as_ref().is_none_or(|text| contender.name().contains(text.as_str()))
    });
    // The shortest period that tendmap's owner can sustain.
    let period = period(&mut contenders);
    let modes = [
        Mode { title: "single", task: Task::Throughput, beside: Beside::Nothing },
        Mode { title: "latency", task: Task::Latency, beside: Beside::Nothing },
        Mode { title: "two readers", task: Task::Throughput, beside: Beside::Reader },
        Mode { title: "publishing", task: Task::Throughput, beside: Beside::Publisher(period) },
        Mode {
            title: "latency, publishing",
            task: Task::Latency,
            beside: Beside::Publisher(period),
        },
    ];
    let mut results: Vec<Results> = contenders
        .iter()
        .map(|_| Results {
            times: vec![Samples::default(); modes.len()],
            ratios: vec![Samples::default(); modes.len()],
            ..Results::default()
        })
        .collect();
    let mut readers: Vec<_> = contenders.iter().map(|contender| contender.reader()).collect();
    for _ in 0..rounds {
        for (number, mode) in modes.iter().enumerate() {
            let mut floor = f64::NAN;
            let all = contenders.iter_mut().zip(&mut readers).zip(&mut results);
            for ((contender, reader), results) in all {
                // A seqlock is measured in its worst case.
                let beside = match mode.beside {
                    Beside::Publisher(_) if contender.name() == "plain seqlock" => {
                        Beside::Publisher(Duration::ZERO)
                    }
                    other => other,
                };
                let (found, _) = with(contender.as_mut(), beside, || {
                    // The first pass warms the caches.
                    time(reader.as_mut(), &order, mode.task);
                    time(reader.as_mut(), &order, mode.task)
                });
                if floor.is_nan() {
                    floor = found;
                }
                results.times[number].push(found);
                results.ratios[number].push(found / floor);
            }
        }
        for ((contender, reader), results) in
            contenders.iter_mut().zip(&mut readers).zip(&mut results)
        {
            samples(reader.as_mut(), &order, &mut results.idle);
            let ((), publications) = with(contender.as_mut(), Beside::Publisher(period), || {
                for _ in 0..4 {
                    samples(reader.as_mut(), &order, &mut results.busy);
                }
            });
            results.lookups += 4 * order.len() as u64;
            results.publications += publications;
        }
    }
    print(&contenders, &modes, results, period, rounds);
    ExitCode::SUCCESS
}

fn print(
    contenders: &[Box<dyn Contender>],
    modes: &[Mode],
    results: Vec<Results>,
    period: Duration,
    rounds: usize,
) {
    println!(
        "{rounds} rounds, medians; a publication of 1 % every {:.0} us beside \"publishing\"",
        period.as_secs_f64() * 1e6
    );
    println!("nanoseconds a lookup, and how many times the floor's in the same round\n");
    print!("{:<32}", "");
    modes.iter().for_each(|mode| print!("{:>22}", mode.title));
    println!("{:>24}{:>14}", "p99.9 idle -> publishing", "retries <=");
    for (contender, results) in contenders.iter().zip(&results) {
        print!("{:<32}", contender.name());
        for (times, ratios) in results.times.iter().zip(&results.ratios) {
            print!("{:>13.2} {:>7.2}x", or_none(times.median()), or_none(ratios.median()));
        }
        let [idle, busy] = [&results.idle, &results.busy].map(|all| or_none(all.quantile(999)));
        print!("{idle:>12.1} {busy:>6.1} {:>5.2}x", busy / idle);
        println!("{:>14.6}", results.publications as f64 / results.lookups as f64);
    }
    println!("\np99.9: of samples of {SAMPLE} lookups, their mean each");
    println!("retries: a lookup is tried again at most as often as it was published meanwhile");
}

/// A figure, or NaN if there is none.
fn or_none(figure: Option<f64>) -> f64 {
    figure.unwrap_or(f64::NAN)
}

/// How long a publication of tendmap takes during reads.
fn period(contenders: &mut [Box<dyn Contender>]) -> Duration {
    let Some(owner) = contenders.iter_mut().find(|c| c.name().starts_with("tendmap")) else {
        return Duration::from_micros(100);
    };
    let times: Samples = (0..200)
        .map(|_| {
            let begun = Instant::now();
            owner.publish();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    Duration::from_secs_f64(times.median().unwrap_or_default())
}

fn arguments() -> Result<(usize, Option<String>), String> {
    let (mut rounds, mut only) = (100, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--rounds" => {
                let wanted = || format!("--rounds {value}, wanted a number from 1 on");
                rounds = value.parse().ok().filter(|&n| n > 0).ok_or_else(wanted)?;
            }
            "--only" => only = Some(value),
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    Ok((rounds, only))
}
