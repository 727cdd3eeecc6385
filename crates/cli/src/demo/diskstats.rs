//! Linux's `/proc/diskstats`: what each disk has done since the computer started.

/// The size of the sectors that the table counts in, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;

/// One disk's counters.
#[derive(Debug, PartialEq, Eq)]
pub struct Disk<'a> {
    pub name: &'a str,
    pub reads: u64,
    pub writes: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// Time during which any request was under way.
    pub busy_ms: u64,
}

/// The disks that have done anything. Lines of another shape are passed over.
pub fn parse(table: &str) -> Vec<Disk<'_>> {
    table.lines().filter_map(line).filter(|disk| disk.reads + disk.writes > 0).collect()
}

fn line(line: &str) -> Option<Disk<'_>> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let name = fields.next()?;
    let numbers: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    Some(Disk {
        name,
        reads: *numbers.first()?,
        read_bytes: numbers.get(2)?.saturating_mul(SECTOR_BYTES),
        writes: *numbers.get(4)?,
        written_bytes: numbers.get(6)?.saturating_mul(SECTOR_BYTES),
        busy_ms: *numbers.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_devices_and_torn_lines_are_left_out() {
        let table = "\
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
 254       0 vda 129498 27906 7393850 167116 16565 55117 7452048 28887 0 12924 196717 6160 22 381328 689 576 24
 254       1 vdb 1 2 x
";
        let disk = Disk {
            name: "vda",
            reads: 129_498,
            writes: 16_565,
            read_bytes: 7_393_850 * 512,
            written_bytes: 7_452_048 * 512,
            busy_ms: 12_924,
        };
        assert_eq!(parse(table), [disk]);
    }
}
