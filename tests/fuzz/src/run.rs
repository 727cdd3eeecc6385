//! Runs a target: its samples, its corpus, then mutants drawn from a seed.
//!
//! Cases run on threads with the stack that a server's have. One that panics is made as short as it can be and
//! told with what brings it back; a stack that overflows ends the program, and the thread's name says where.

use std::panic::{self, AssertUnwindSafe};

use peak_alloc::PeakAlloc;

use crate::corpus;
use crate::mutate;
use crate::random::Random;
use crate::target::Target;

/// The stack of a server's threads, in bytes.
const STACK_BYTES: usize = 2 << 20;
/// Cases on one thread.
const CHUNK: u64 = 4096;
/// The memory that decoding may take: this much in any case, and so much more for a byte of the input.
///
/// The least cell of a row is 10 bytes on the wire and some hundred in memory, and vectors grow by doubling.
const MEMORY_BYTES: usize = 4 << 20;
const MEMORY_BYTES_PER_BYTE: usize = 512;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many mutants.
    pub cases: u64,
    /// What they are drawn from.
    pub seed: u64,
    /// The number of the first.
    pub first: u64,
}

/// Runs a target.
///
/// `memory` is the program's allocator, if it counts; without it memory is not looked at.
///
/// # Errors
/// The first input that something did not hold of, and how to bring it back.
pub fn run(target: &Target, plan: Plan, memory: Option<&'static PeakAlloc>) -> Result<(), String> {
    let mut known = target.samples.clone();
    known.extend(corpus::read(target.name)?);
    chunk(target, "samples and corpus", known.len() as u64, memory, |at| {
        known[usize::try_from(at).unwrap_or(usize::MAX)].clone()
    })?;
    let end = plan.first.saturating_add(plan.cases);
    for from in (plan.first..end).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
        let count = CHUNK.min(end - from);
        chunk(target, &format!("seed {} first {from}", plan.seed), count, memory, |at| {
            let mut random = Random::of_case(plan.seed, target.name, from + at);
            mutate::mutant(target.shape, &known, &mut random)
        })
        .map_err(|why| format!("{why}\nagain: --seed {} --first {from} --cases {count}", plan.seed))?;
    }
    Ok(())
}

/// Runs so many cases on a thread of their own.
fn chunk(
    target: &Target,
    told: &str,
    count: u64,
    memory: Option<&'static PeakAlloc>,
    input: impl Fn(u64) -> Vec<u8> + Sync,
) -> Result<(), String> {
    let name = format!("{}: {told}", target.name);
    std::thread::scope(|scope| {
        let cases = || (0..count).try_for_each(|at| case(target, &input(at), memory));
        let thread =
            std::thread::Builder::new().name(name.clone()).stack_size(STACK_BYTES).spawn_scoped(scope, cases);
        let thread = thread.map_err(|error| format!("start a thread: {error}"))?;
        thread
            .join()
            .unwrap_or_else(|_| Err("the run itself panicked".to_owned()))
            .map_err(|why| format!("{name}: {why}"))
    })
}

/// Runs one case. A failure comes with the shortest input that was found to fail too.
fn case(target: &Target, input: &[u8], memory: Option<&'static PeakAlloc>) -> Result<(), String> {
    let Err(why) = attempt(target, input, memory) else { return Ok(()) };
    let shortest = shorten(input, |shorter| attempt(target, shorter, memory).is_err());
    let line = corpus::encode(&shortest);
    Err(format!("{why}\nfor `{}`:\n{line}", corpus::file(target.name).display()))
}

fn attempt(target: &Target, input: &[u8], memory: Option<&'static PeakAlloc>) -> Result<(), String> {
    let before = memory.map(|memory| {
        memory.reset_peak_usage();
        memory.current_usage()
    });
    quietly(|| (target.take)(input))?;
    let taken = memory.zip(before).map_or(0, |(memory, before)| memory.peak_usage().saturating_sub(before));
    let most = MEMORY_BYTES + MEMORY_BYTES_PER_BYTE * input.len();
    if taken > most { Err(format!("{} bytes made it take {taken}", input.len())) } else { Ok(()) }
}

/// Has a panic come back as its message.
fn quietly(call: impl FnOnce()) -> Result<(), String> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let told = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("panicked: {}", told.unwrap_or_default())
    })
}

/// Leaves out parts of the input, smaller and smaller ones, as long as it still fails.
pub fn shorten(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut shortest = input.to_vec();
    let mut part = shortest.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < shortest.len() {
            let mut shorter = shortest.clone();
            shorter.drain(at..shorter.len().min(at + part));
            if fails(&shorter) { shortest = shorter } else { at += part }
        }
        part /= 2;
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::Shape;

    fn planted(name: &'static str, take: fn(&[u8])) -> Target {
        Target { name, shape: Shape::Bytes, samples: vec![b"a harmless sample".to_vec()], take }
    }

    #[test]
    fn a_planted_panic_is_found_and_made_short() {
        let target =
            planted("planted", |bytes| assert!(!bytes.windows(2).any(|pair| pair == b"aa"), "two in a row"));
        let why = run(&target, Plan { cases: 100_000, seed: 1, first: 0 }, None).unwrap_err();
        assert!(why.contains("two in a row") && why.contains("\n6161\n"), "{why}");
        assert!(why.contains("again: --seed 1 --first "), "{why}");
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        run(&planted("planted", |_| {}), Plan { cases: 10_000, seed: 1, first: 0 }, None).unwrap();
    }

    #[test]
    fn a_seed_brings_back_the_same_cases() {
        let cases = |seed| {
            (0..20).map(move |at| {
                let mut random = Random::of_case(seed, "planted", at);
                mutate::mutant(Shape::Bytes, &[b"sample".to_vec()], &mut random)
            })
        };
        assert!(cases(1).eq(cases(1)) && !cases(1).eq(cases(2)));
    }
}
