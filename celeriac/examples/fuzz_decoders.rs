//! Feeds mutated messages to every decoder, on stable Rust:
//!
//! ```console
//! $ cargo run --release -p celeriac --example fuzz_decoders -- 10000000
//! ```
//!
//! Says how many inputs there were for each decoder, the slowest of them, and
//! the most memory that the process ever had; writes what made one panic to a
//! file. A run with the same seed (the second argument) feeds the same inputs.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use rand::{SeedableRng, rngs::StdRng};

#[path = "../../fuzz/decoders.rs"]
mod decoders;
#[path = "../../fuzz/mutate.rs"]
mod mutate;

/// What is known of one decoder at the end.
#[derive(Default)]
struct Tally {
    inputs: u64,
    total: Duration,
    slowest: Duration,
    slowest_input: Vec<u8>,
    panics: Vec<Vec<u8>>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let inputs: u64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let seed: u64 = arguments.next().map_or(Ok(0), |n| n.parse())?;
    let threads = std::thread::available_parallelism()?.get() as u64;
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let share = inputs / threads + u64::from(thread < inputs % threads);
            std::thread::spawn(move || feed(share, seed.wrapping_mul(1000) + thread))
        })
        .collect();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for worker in workers {
        let tallied = worker
            .join()
            .map_err(|_| anyhow::anyhow!("a thread has ended"))?;
        for (name, tally) in tallied {
            add(tallies.entry(name).or_default(), tally);
        }
    }
    let panics = report(&tallies)?;
    println!(
        "{inputs} inputs in {:.1?}, {}",
        begun.elapsed(),
        peak_memory()
    );
    anyhow::ensure!(panics == 0, "{panics} inputs made a decoder panic");
    Ok(())
}

fn feed(inputs: u64, seed: u64) -> Vec<(String, Tally)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let seeds = decoders::ALL.map(|decoder| (decoder, decoder.seeds(), Tally::default()));
    let mut all = Vec::from(seeds);
    for turn in 0..inputs {
        let which = turn as usize % all.len();
        let Some((decoder, seeds, tally)) = all.get_mut(which) else {
            continue;
        };
        let (decoder, data) = (*decoder, mutate::mutated(&mut rng, seeds));
        let begun = Instant::now();
        let panicked = catch_unwind(|| decoder.run(&data)).is_err();
        let took = begun.elapsed();
        tally.inputs += 1;
        tally.total += took;
        if panicked {
            tally.panics.push(data);
        } else if took > tally.slowest {
            (tally.slowest, tally.slowest_input) = (took, data);
        }
    }
    let tallies = all.into_iter();
    tallies
        .map(|(decoder, _, tally)| (format!("{decoder:?}"), tally))
        .collect()
}

fn add(sum: &mut Tally, more: Tally) {
    sum.inputs += more.inputs;
    sum.total += more.total;
    sum.panics.extend(more.panics);
    if more.slowest > sum.slowest {
        (sum.slowest, sum.slowest_input) = (more.slowest, more.slowest_input);
    }
}

/// Prints the tallies; how many panics there were.
fn report(tallies: &BTreeMap<String, Tally>) -> std::io::Result<usize> {
    for (name, tally) in tallies {
        let mean = tally.total.as_secs_f64() * 1e6 / tally.inputs.max(1) as f64;
        println!(
            "{name:<11}{:>10} inputs, {mean:>7.1} µs each, slowest {:?} for {} bytes, {} panics",
            tally.inputs,
            tally.slowest,
            tally.slowest_input.len(),
            tally.panics.len()
        );
        std::fs::write(
            std::env::temp_dir().join(format!("slowest-{name}")),
            &tally.slowest_input,
        )?;
        for (index, input) in tally.panics.iter().take(10).enumerate() {
            let path = std::env::temp_dir().join(format!("panic-{name}-{index}"));
            std::fs::write(&path, input)?;
            println!("  {}", path.display());
        }
    }
    Ok(tallies.values().map(|tally| tally.panics.len()).sum())
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    peak.unwrap_or("memory unknown")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
