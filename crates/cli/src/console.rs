//! What the program says: answers to stdout, all else to stderr.
//!
//! On a terminal [`Live`] rewrites one line in place; elsewhere it prints a line at long intervals, so that a
//! log of the run stays readable.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// How often a progress line is printed where it cannot be rewritten.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Writes one line of the answer to stdout.
pub fn answer(line: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Writes lines of the answer, each ending with its line break, to stdout.
pub fn answer_lines(lines: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    Ok(out.flush()?)
}

/// Says something beside the answer, on stderr. If that is closed, nobody is listening, and nothing is lost.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// One line on how far something long has come.
pub struct Live {
    shown: Shown,
}

enum Shown {
    InPlace(ProgressBar),
    Plain { next_at: Instant, last: String },
}

impl Live {
    /// A line on stderr, shown from its first [`Live::set`] on.
    pub fn start() -> Self {
        if !io::stderr().is_terminal() {
            return Self { shown: Shown::Plain { next_at: Instant::now(), last: String::new() } };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant");
        bar.set_style(style.tick_chars("|/-\\ "));
        Self { shown: Shown::InPlace(bar) }
    }

    /// A line beside an answer that goes elsewhere. Where nobody looks at stderr, or the answer is on the same
    /// terminal, there is none.
    pub fn beside_output() -> Option<Self> {
        (io::stderr().is_terminal() && !io::stdout().is_terminal()).then(Self::start)
    }

    /// Says how far it is now.
    pub fn set(&mut self, text: impl Into<String>) {
        let text = text.into();
        match &mut self.shown {
            Shown::InPlace(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            Shown::Plain { next_at, last } => {
                let now = Instant::now();
                if now >= *next_at && *last != text {
                    note(&text);
                    *next_at = now + PLAIN_INTERVAL;
                    *last = text;
                }
            }
        }
    }

    /// Writes one line of the answer to stdout, above the line in place.
    pub fn answer(&self, line: impl Display) -> Result<(), Failure> {
        match &self.shown {
            Shown::InPlace(bar) => bar.suspend(|| answer(line)),
            Shown::Plain { .. } => answer(line),
        }
    }

    /// Says something beside the answer, on stderr, above the line in place.
    pub fn note(&self, line: impl Display) {
        match &self.shown {
            Shown::InPlace(bar) => bar.suspend(|| note(line)),
            Shown::Plain { .. } => note(line),
        }
    }

    /// Takes the line in place away.
    pub fn clear(&self) {
        if let Shown::InPlace(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.clear();
    }
}
