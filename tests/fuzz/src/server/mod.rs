//! A running server, under random and mutated requests.
//!
//! Whatever is sent, an answer must come: a success, or the protocol's error body with a code of the protocol
//! that does not say that the server is at fault or does not know. At the end the server must still be there and answer, and
//! must not have grown: what it holds is emptied every so often, so its memory has to stay where it was.

mod case;
mod connection;
mod process;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto::{self, Message};

use crate::random::Random;
use crate::run::Plan;
use crate::samples;
use case::{Cases, Request};
use connection::{Answer, Connection};
use process::Server;

/// Connections that send at once.
const CONNECTIONS: usize = 8;
/// After so many cases the server is emptied and its tables are made again.
const EMPTIED_EVERY: u64 = 10_000;
/// How long an answer may take; the server's own bound for a request is 10 s.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How much more memory than in the first half of the run a server may take in the second, in MiB. The engine's cache
/// and its tables in memory fill up to their bounds at their own times: these are 24 MiB, and the allocator's share.
const GROWTH_MIB_MAX: u64 = 32;

/// Serves with `program` and sends the cases of a plan. Tells what was answered.
///
/// # Errors
/// The first answer that is none of the protocol, with what brings it back; or the server that ended, or grew.
pub fn run(program: &Path, log: &Path, plan: Plan) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("start a runtime: {error}"))?;
    runtime.block_on(try_run(program, log, plan))
}

async fn try_run(program: &Path, log: &Path, plan: Plan) -> Result<String, String> {
    let server = Server::start(program, log).await?;
    let address: Arc<str> = server.address.as_str().into();
    let tally = Arc::new(Tally::default());
    let mut memory = Memory::default();
    let started = Instant::now();
    let end = plan.first.saturating_add(plan.cases);
    let mut from = plan.first;
    while from < end {
        let to = end.min(from + EMPTIED_EVERY);
        let cases = Arc::new(set_up(&address).await?);
        let next = Arc::new(AtomicU64::new(from));
        let senders = (0..CONNECTIONS).map(|_| {
            let sender = send(address.clone(), cases.clone(), next.clone(), to, plan.seed, tally.clone());
            tokio::spawn(sender)
        });
        for sent in try_join_all(senders).await.map_err(|error| format!("a sender broke off: {error}"))? {
            sent.map_err(|why| format!("{why}\nthe server's log is `{}`", log.display()))?;
        }
        memory.saw((from - plan.first) * 2 >= plan.cases, server.memory_mib()?);
        empty(&address).await?;
        from = to;
    }
    set_up(&address).await?;
    memory.check()?;
    let took = started.elapsed();
    Ok(format!(
        "{tally}; {memory}; {:.0} s, {:.0} a second",
        took.as_secs_f64(),
        plan.cases as f64 / took.as_secs_f64()
    ))
}

/// Sends cases until there are no more.
async fn send(
    address: Arc<str>,
    cases: Arc<Cases>,
    next: Arc<AtomicU64>,
    end: u64,
    seed: u64,
    tally: Arc<Tally>,
) -> Result<(), String> {
    let mut connection = Connection::new(&address);
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= end {
            return Ok(());
        }
        let request = cases.request(&mut Random::of_case(seed, "server", at));
        let answered = tokio::time::timeout(ANSWER_MAX, connection.call(&request)).await;
        let told = |why: String| {
            format!(
                "case {at}, {}: {why}\nagain: --seed {seed} --first {at} --cases 1; its body:\n{}",
                request.path,
                crate::corpus::encode(&request.body)
            )
        };
        let answer = answered.map_err(|_| told(format!("no answer within {ANSWER_MAX:?}")))?.map_err(told)?;
        tally.count(check(&answer).map_err(told)?);
    }
}

/// What an answer is: the code of its error, or none.
fn check(answer: &Answer) -> Result<Option<ErrorCode>, String> {
    if answer.request_id.len() != 36 {
        return Err(format!("{} without a request id", answer.status));
    }
    if answer.status == 200 {
        return Ok(None);
    }
    let error = proto::Error::decode(answer.body.as_slice())
        .map_err(|error| format!("{} with a body that is no error: {error}", answer.status))?;
    let said = format!("{} {}: {}", answer.status, error.code, error.message());
    let code = ErrorCode::parse(&error.code).ok_or_else(|| format!("no code of the protocol: {said}"))?;
    if code.status() != answer.status {
        return Err(format!("not the status of its code: {said}"));
    }
    // Whatever the caller sent, it is the caller's fault. But a table may go while a row is on its way to it: then
    // nothing was written, and the row may be sent again.
    if answer.status >= 500 && code != ErrorCode::ServerBusy {
        return Err(format!("the server is at fault: {said}"));
    }
    Ok(Some(code))
}

/// Makes what the cases are about, and finds out what it is called.
async fn set_up(address: &str) -> Result<Cases, String> {
    let mut connection = Connection::new(address);
    let mut names = Vec::new();
    for (operation, mut body) in case::set_up_calls() {
        names
            .iter()
            .for_each(|(from, to): &(Vec<u8>, Vec<u8>)| crate::mutate::message::replace(&mut body, from, to));
        let request = Request::signed(operation.path().to_owned(), body);
        let answer = connection.call(&request).await?;
        match check(&answer)? {
            None => names.extend(case::names_in(operation, &answer.body)),
            // What is not served yet has no names.
            Some(ErrorCode::UnsupportedOperation) => {}
            Some(code) => return Err(format!("set up by {operation}: {code:?}")),
        }
    }
    let row = proto::GetRowRequest { columns_to_get: Vec::new(), ..samples::get_row() };
    let request = Request::signed(Operation::GetRow.path().to_owned(), row.encode_to_vec());
    match check(&connection.call(&request).await?)? {
        None => Cases::new(&names),
        Some(code) => Err(format!("a good read fails: {code:?}")),
    }
}

async fn empty(address: &str) -> Result<(), String> {
    let request = Request::signed("/api/v1/dev/reset".to_owned(), Vec::new());
    let answer = Connection::new(address).call(&request).await?;
    if answer.status == 200 { Ok(()) } else { Err(format!("empty the server: {}", answer.status)) }
}

/// How many answers there were, of which kinds.
#[derive(Debug, Default)]
struct Tally {
    successes: AtomicU64,
    errors: AtomicU64,
}

impl Tally {
    fn count(&self, code: Option<ErrorCode>) {
        let counter = if code.is_none() { &self.successes } else { &self.errors };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [successes, errors] = [&self.successes, &self.errors].map(|count| count.load(Ordering::Relaxed));
        write!(f, "{successes} successes and {errors} errors of the protocol")
    }
}

/// The most memory that was seen in each half of the run, in MiB.
#[derive(Debug, Default)]
struct Memory {
    halves: [u64; 2],
}

impl Memory {
    fn saw(&mut self, second_half: bool, mib: u64) {
        let half = &mut self.halves[usize::from(second_half)];
        *half = mib.max(*half);
    }

    fn check(&self) -> Result<(), String> {
        let [first, second] = self.halves;
        // A run of one stretch has no halves to compare.
        if first > 0 && second > first + GROWTH_MIB_MAX {
            return Err(format!("the server grows: {self}"));
        }
        Ok(())
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second] = self.halves;
        write!(f, "memory {first} MiB at most in the first half, {second} in the second")
    }
}
