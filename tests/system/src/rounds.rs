//! Rounds of faults, while writers and a task run: of the store, the disk, the clock, with SIGKILL among them.
//!
//! Each round draws a fault, how long it lasts (or longer, until requests have met it), whether the server is killed
//! meanwhile, and whether the next round waits until delivery goes on. The kinds come like cards of a shuffled deck,
//! so that few rounds show all of them. The seed is printed and brings the rounds back. Half way through, the store
//! hangs once while the server is asked to end.
//!
//! Nobody lends the server a hand: faults end, and everything else is its own matter.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::failure::{Failure, broken};
use crate::full_disk::{FullDisk, Fullness};
use crate::gate::Gate;
use crate::server::Keeper;
use crate::session;
use crate::store_fault::StoreFault;
use crate::target::LAKE;
use crate::trial::{Setup, Trial, clear, clock_ahead, until_task};

/// How long a fault lasts, in milliseconds.
const LASTS: std::ops::Range<u64> = 300..2500;
/// The rest behind a fault that is not waited for, in milliseconds.
const RESTS: std::ops::Range<u64> = 0..1000;
/// How many requests at least meet a fault of the store.
const MET: u64 = 3;
/// How long it may take until the store holds a request of the server.
const HELD_WITHIN: Duration = Duration::from_secs(30);

/// What goes wrong in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Store(StoreFault),
    /// The store answers nothing at all.
    StoreHangs,
    Disk(Fullness),
    /// The clock steps by so many seconds.
    Clock(i64),
    /// Nothing but the kill.
    None,
}

#[derive(Debug)]
struct Round {
    fault: Fault,
    lasts: Duration,
    /// When the server is killed.
    kill_after: Option<Duration>,
    /// The rest until the next round; none: until delivery goes on.
    rest: Option<Duration>,
    /// What the fault itself draws from.
    seed: u64,
}

/// What can be made to fail.
struct Surroundings {
    gate: Gate,
    disk: FullDisk,
    clock: PathBuf,
}

/// Carries out `rounds` rounds, and compares.
///
/// # Errors
/// What was lost, or why nothing can be said.
pub async fn run(setup: &Setup, rounds: u32) -> Result<(), Failure> {
    println!("    {rounds} rounds; --seed={} brings them back", setup.seed);
    let store = setup.folder.with_extension("store");
    clear(&store);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (gate, accepting) = Gate::start(&store, &[LAKE.to_owned()], listen).await?;
    let setup = Setup { store: Some((gate.clone(), LAKE)), ..setup.clone() };
    let trial = Trial::begin(&setup).await?;
    let around = Surroundings { gate, disk: FullDisk::of(&setup.folder), clock: clock_ahead(&setup.folder) };

    let mut deck = Deck { random: SmallRng::seed_from_u64(setup.seed), left: Vec::new() };
    for number in 1..=rounds {
        let round = deck.draw();
        println!("    {number:>4}: {round}");
        round.carry_out(&trial, &around).await.map_err(|failure| within(number, &round, failure))?;
        if number == rounds.div_ceil(2) {
            stop_while_the_store_hangs(&trial.keeper, &around.gate).await?;
        }
    }
    goes_on(&trial).await?;
    trial.end().await?.report.tell()?;
    accepting.abort();
    clear(&setup.folder);
    clear(&store);
    Ok(())
}

fn within(number: u32, round: &Round, failure: Failure) -> Failure {
    match failure {
        Failure::Lost(what) => Failure::Lost(format!("round {number}, {round}: {what}")),
        other => other,
    }
}

/// Asks the server to end while the store has one of its requests and does not answer.
async fn stop_while_the_store_hangs(keeper: &Keeper, gate: &Gate) -> Result<(), Failure> {
    gate.hold_all();
    let begun = Instant::now();
    while gate.held() == 0 {
        if begun.elapsed() > HELD_WITHIN {
            return Err(Failure::Broken("the store is asked for nothing".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = keeper.stop().await?;
    println!("          the store hangs, SIGTERM: ended after {} ms", took.as_millis());
    gate.heal();
    Ok(())
}

/// Waits until the task delivers what is written now, and says that nothing is wrong.
async fn goes_on(trial: &Trial) -> Result<(), Failure> {
    let shown = until_task(&trial.keeper, "the full phase ends", |state| state.phase == "INCR").await?;
    let goes_on = |all: &serde_json::Value| all["error"] == "OK" && all["next_try_at"].is_null();
    let what = "healed, and nobody lent a hand, the sync point moves and nothing is said to be wrong";
    until_task(&trial.keeper, what, |now| now.sync_point > shown.sync_point && goes_on(&now.all))
        .await
        .map(drop)
}

impl Round {
    async fn carry_out(&self, trial: &Trial, around: &Surroundings) -> Result<(), Failure> {
        around.strike(self)?;
        match self.kill_after {
            Some(after) => {
                tokio::time::sleep(after).await;
                trial.keeper.kill().await;
                tokio::time::sleep(self.lasts.saturating_sub(after)).await;
            }
            None => tokio::time::sleep(self.lasts).await,
        }
        around.until_met(self).await;
        around.heal()?;
        match self.rest {
            Some(rest) => tokio::time::sleep(rest).await,
            None => goes_on(trial).await?,
        }
        trial.keeper.address().await.map(drop)
    }
}

impl Surroundings {
    fn strike(&self, round: &Round) -> Result<(), Failure> {
        match round.fault {
            Fault::Store(fault) => self.gate.suffer(fault, round.seed),
            Fault::StoreHangs => self.gate.hold_all(),
            Fault::Disk(how) => self.disk.fill(how)?,
            Fault::Clock(seconds) => self.step_clock(seconds)?,
            Fault::None => {}
        }
        Ok(())
    }

    /// Waits until the store's fault was met by somebody: one that nobody met shows nothing.
    async fn until_met(&self, round: &Round) {
        let wanted = || match round.fault {
            Fault::Store(_) => self.gate.met() < MET,
            Fault::StoreHangs => self.gate.held() == 0,
            _ => false,
        };
        let begun = Instant::now();
        while wanted() && begun.elapsed() < HELD_WITHIN {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn heal(&self) -> Result<(), Failure> {
        self.gate.heal();
        self.disk.free();
        self.step_clock(0)
    }

    fn step_clock(&self, ahead_s: i64) -> Result<(), Failure> {
        std::fs::write(&self.clock, ahead_s.to_string()).map_err(broken("step the clock"))
    }
}

/// The kinds of faults, shuffled.
struct Deck {
    random: SmallRng,
    left: Vec<Fault>,
}

impl Deck {
    fn draw(&mut self) -> Round {
        if self.left.is_empty() {
            self.left = self.shuffled();
        }
        let fault = self.left.pop().unwrap_or(Fault::None);
        let random = &mut self.random;
        let lasts = Duration::from_millis(random.random_range(LASTS));
        let lasts = match fault {
            // The credentials of the round end in it.
            Fault::Store(StoreFault::Expire) => lasts + session::LIFE,
            _ => lasts,
        };
        let is_killed = match fault {
            Fault::None => true,
            // A clock that is far off is not believed at once, but for what a new life begins with.
            Fault::Clock(seconds) if seconds.abs() > SMALL_STEP_S => false,
            _ => random.random_ratio(1, 3),
        };
        let instant =
            Duration::from_millis(random.random_range(0..u64::try_from(lasts.as_millis()).unwrap_or(1)));
        let rest = Duration::from_millis(random.random_range(RESTS));
        Round {
            fault,
            lasts,
            kill_after: is_killed.then_some(instant),
            rest: (!random.random_ratio(1, 3)).then_some(rest),
            seed: random.random(),
        }
    }

    fn shuffled(&mut self) -> Vec<Fault> {
        let random = &mut self.random;
        let slow = StoreFault::Slow(Duration::from_millis(random.random_range(200..3000)));
        let mut faults = vec![
            Fault::Store(StoreFault::Refuse(403, "AccessDenied")),
            Fault::Store(StoreFault::Refuse(500, "InternalError")),
            Fault::Store(StoreFault::Refuse(503, "SlowDown")),
            Fault::Store(StoreFault::Refuse(507, "InsufficientStorage")),
            Fault::Store(StoreFault::LoseAnswer),
            Fault::Store(slow),
            Fault::Store(StoreFault::Half),
            Fault::Store(StoreFault::Expire),
            Fault::StoreHangs,
            Fault::Disk(Fullness::Reserve),
            Fault::Disk(Fullness::Full),
            Fault::Disk(Fullness::Sudden),
            Fault::Clock(random.random_range(1..=SMALL_STEP_S)),
            Fault::Clock(-random.random_range(1..=SMALL_STEP_S)),
            Fault::Clock(random.random_range(100..600)),
            Fault::Clock(-random.random_range(100..600)),
            Fault::None,
        ];
        faults.shuffle(random);
        faults
    }
}

/// Steps that are believed, in seconds: time stands still as long when the clock steps back, so they are few.
const SMALL_STEP_S: i64 = 8;

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Store(fault) => write!(f, "{fault}")?,
            Fault::StoreHangs => f.write_str("the store hangs")?,
            Fault::Disk(how) => write!(f, "{how}")?,
            Fault::Clock(seconds) => write!(f, "the clock is {seconds:+} s off")?,
            Fault::None => f.write_str("all is well")?,
        }
        write!(f, ", for {} ms", self.lasts.as_millis())?;
        if let Some(after) = self.kill_after {
            write!(f, ", killed after {} ms", after.as_millis())?;
        }
        if self.rest.is_none() {
            f.write_str(", then until it goes on")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(seed: u64, count: usize) -> Vec<String> {
        let mut deck = Deck { random: SmallRng::seed_from_u64(seed), left: Vec::new() };
        (0..count).map(|_| deck.draw().to_string()).collect()
    }

    #[test]
    fn a_seed_brings_its_rounds_back() {
        assert_eq!(rounds(3, 40), rounds(3, 40));
        assert_ne!(rounds(3, 40), rounds(4, 40));
    }

    #[test]
    fn twenty_rounds_show_every_kind() {
        let mut deck = Deck { random: SmallRng::seed_from_u64(1), left: Vec::new() };
        let kinds = deck.shuffled().len();
        assert!(kinds <= 20, "{kinds}");
    }
}
