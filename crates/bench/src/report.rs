//! Figures, with the bounds that are asked of them.

use serde_json::json;

/// What was measured so far.
pub struct Report {
    json: bool,
    held: bool,
    peak_mib: f64,
}

/// What is asked of a figure.
#[derive(Clone, Copy)]
pub enum Bound {
    /// Nothing; it is told for itself.
    None,
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

impl Report {
    /// An empty report; `json` prints a line of JSON for each figure beside the text on stderr.
    pub fn new(json: bool) -> Self {
        Self { json, held: true, peak_mib: 0.0 }
    }

    /// Tells a figure.
    pub fn figure(&mut self, bench: &str, case: &str, value: f64, unit: &str, bound: Bound) {
        let (name, asked, held) = match bound {
            Bound::None => ("", None, true),
            Bound::AtLeast(least) => ("at_least", Some(least), value >= least),
            Bound::AtMost(most) => ("at_most", Some(most), value <= most),
        };
        self.held &= held;
        if self.json {
            let mut line = json!({"bench": bench, "case": case, "value": value, "unit": unit});
            if let Some(asked) = asked {
                line[name] = json!(asked);
            }
            println!("{line}");
            return;
        }
        let told = match (asked, held) {
            (None, _) => String::new(),
            (Some(asked), true) => format!("  ({} {asked}: held)", name.replace('_', " ")),
            (Some(asked), false) => format!("  ({} {asked}: MISSED)", name.replace('_', " ")),
        };
        let value = if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") };
        println!("{:<32} {value:>14} {unit}{told}", format!("{bench}/{case}"));
    }

    /// Says what happens now.
    pub fn step(&self, text: &str) {
        eprintln!("· {text}");
    }

    /// Notes the most memory that a server took.
    pub fn saw_peak(&mut self, mib: f64) {
        self.peak_mib = self.peak_mib.max(mib);
    }

    /// Tells the most memory that any server took.
    pub fn memory(&mut self) {
        if self.peak_mib > 0.0 {
            self.figure("memory", "peak_mib", self.peak_mib, "MiB", Bound::AtMost(1024.0));
        }
    }

    /// Whether every bound was held.
    pub fn all_held(&self) -> bool {
        self.held
    }
}
