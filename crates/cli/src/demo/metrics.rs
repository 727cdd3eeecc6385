//! What this computer says about itself: a sample per core, disk, file system and network device, and one each
//! of memory and load.

use std::collections::BTreeMap;

use bytestring::ByteString;
use lakeferry_model::{Micros, Value};
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

use super::diskstats;

/// One source at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What was looked at: `cpu/0`, `memory`, `net/eth0`.
    pub source: String,
    /// When, in microseconds since the epoch.
    pub at: Micros,
    /// What was seen.
    pub columns: Vec<(&'static str, Value)>,
}

/// Looks at this computer. Shares and rates are of the time since the look before.
pub struct Sampler {
    system: System,
    disks: Disks,
    networks: Networks,
    host: ByteString,
}

impl Sampler {
    /// Takes the first look, which the next one's shares are measured from.
    pub fn start() -> Self {
        let what = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::everything())
            .with_memory(MemoryRefreshKind::everything());
        Self {
            system: System::new_with_specifics(what),
            disks: Disks::new_with_refreshed_list(),
            networks: Networks::new_with_refreshed_list(),
            host: System::host_name().unwrap_or_else(|| "localhost".to_owned()).into(),
        }
    }

    /// Looks at everything once. No source comes twice.
    pub fn sample(&mut self, at: Micros) -> Vec<Sample> {
        self.system.refresh_cpu_all();
        self.system.refresh_memory();
        self.disks.refresh(true);
        self.networks.refresh(true);
        let mut seen = BTreeMap::new();
        self.add_cores(&mut seen);
        self.add_memory(&mut seen);
        self.add_load(&mut seen);
        self.add_file_systems(&mut seen);
        self.add_networks(&mut seen);
        add_disks(&mut seen);
        let with_host = |(source, mut columns): (String, Vec<_>)| {
            columns.push(("host", Value::String(self.host.clone())));
            Sample { source, at, columns }
        };
        seen.into_iter().map(with_host).collect()
    }

    fn add_cores(&self, seen: &mut Seen) {
        for (number, core) in self.system.cpus().iter().enumerate() {
            let busy = f64::from(core.cpu_usage());
            let columns = vec![
                ("kind", text("cpu")),
                ("busy_percent", Value::Double(busy)),
                ("frequency_mhz", integer(core.frequency())),
                ("busy", Value::Boolean(busy >= 50.0)),
            ];
            seen.insert(format!("cpu/{number}"), columns);
        }
    }

    fn add_memory(&self, seen: &mut Seen) {
        let (total, available) = (self.system.total_memory(), self.system.available_memory());
        let columns = vec![
            ("kind", text("memory")),
            ("total_bytes", integer(total)),
            ("free_bytes", integer(available)),
            ("used_percent", used_percent(total, available)),
            ("swap_bytes", integer(self.system.used_swap())),
            ("swapping", Value::Boolean(self.system.used_swap() > 0)),
        ];
        seen.insert("memory".to_owned(), columns);
    }

    fn add_load(&self, seen: &mut Seen) {
        let load = System::load_average();
        let cores = self.system.cpus().len();
        let columns = vec![
            ("kind", text("load")),
            ("load_1m", Value::Double(load.one)),
            ("load_5m", Value::Double(load.five)),
            ("load_15m", Value::Double(load.fifteen)),
            ("overloaded", Value::Boolean(load.one > u32::try_from(cores).map_or(f64::MAX, f64::from))),
        ];
        seen.insert("load".to_owned(), columns);
    }

    fn add_file_systems(&self, seen: &mut Seen) {
        for disk in &self.disks {
            let columns = vec![
                ("kind", text("space")),
                ("file_system", text(&disk.file_system().to_string_lossy())),
                ("total_bytes", integer(disk.total_space())),
                ("free_bytes", integer(disk.available_space())),
                ("used_percent", used_percent(disk.total_space(), disk.available_space())),
                ("read_only", Value::Boolean(disk.is_read_only())),
            ];
            seen.insert(format!("space/{}", disk.mount_point().display()), columns);
        }
    }

    fn add_networks(&self, seen: &mut Seen) {
        for (name, network) in &self.networks {
            let errors = network.total_errors_on_received() + network.total_errors_on_transmitted();
            let columns = vec![
                ("kind", text("net")),
                ("received_bytes", integer(network.total_received())),
                ("sent_bytes", integer(network.total_transmitted())),
                ("errors", integer(errors)),
                ("busy", Value::Boolean(network.received() + network.transmitted() > 0)),
            ];
            seen.insert(format!("net/{name}"), columns);
        }
    }
}

type Seen = BTreeMap<String, Vec<(&'static str, Value)>>;

/// The devices' counters, on systems that tell them.
fn add_disks(seen: &mut Seen) {
    let Ok(table) = std::fs::read_to_string("/proc/diskstats") else { return };
    for disk in diskstats::parse(&table) {
        let columns = vec![
            ("kind", text("disk")),
            ("reads", integer(disk.reads)),
            ("writes", integer(disk.writes)),
            ("read_bytes", integer(disk.read_bytes)),
            ("written_bytes", integer(disk.written_bytes)),
            ("busy_ms", integer(disk.busy_ms)),
        ];
        seen.insert(format!("disk/{}", disk.name), columns);
    }
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn used_percent(total: u64, free: u64) -> Value {
    if total == 0 {
        return Value::Double(0.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
    let used = total.saturating_sub(free) as f64 / total as f64;
    Value::Double(used * 100.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lakeferry_model::ValueKind;

    use super::*;

    #[test]
    fn this_computer_has_cores_memory_and_load() {
        let samples = Sampler::start().sample(7);
        let sources: BTreeSet<_> = samples.iter().map(|sample| sample.source.as_str()).collect();
        assert!(sources.contains("cpu/0") && sources.contains("memory") && sources.contains("load"));
        assert_eq!(sources.len(), samples.len(), "no source comes twice");
        assert!(samples.iter().all(|sample| sample.at == 7));
    }

    #[test]
    fn a_column_has_one_type_whatever_source_it_comes_from() {
        let mut kinds: BTreeMap<&str, ValueKind> = BTreeMap::new();
        for (name, value) in Sampler::start().sample(7).into_iter().flat_map(|sample| sample.columns) {
            assert_eq!(*kinds.entry(name).or_insert(value.kind()), value.kind(), "column {name}");
        }
        let all: BTreeSet<_> = kinds.into_values().collect();
        assert_eq!(all.len(), 4, "integers, doubles, booleans and text: {all:?}");
    }
}
