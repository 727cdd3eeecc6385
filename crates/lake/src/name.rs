//! Object names: `{folder}/{task}_{lane}_{folder with / as _}__{sequence}{suffix}`.
//!
//! The folder in the middle only repeats the one in front, for readers who see the last segment alone. So
//! where the whole would be longer than stores allow, the middle is cut and closed with a hash, and names
//! stay as distinct as they were.

use std::fmt;

use lakeferry_model::{TaskName, Violation};

use crate::folder::FolderPath;

/// Bytes of a name's last segment: what local disks allow.
const SEGMENT_BYTES_MAX: usize = 255;
/// Bytes of a whole name: what OSS allows.
const NAME_BYTES_MAX: usize = 1023;
/// Bytes that a lane and a sequence take at most. Counted in full for every name, so that the middle of a
/// folder's names does not change when a number gains a digit.
const NUMBER_BYTES_MAX: usize = 10 + 20;
/// Bytes of a suffix.
const SUFFIX_BYTES_MAX: usize = 32;

/// The name of an object within its bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an object's name says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectParts {
    /// The folder it lies in.
    pub folder: FolderPath,
    /// The lane that wrote it.
    pub lane: u32,
    /// Its number within the lane, counted from 1.
    pub sequence: u64,
}

/// The name of a lane's object. The same parts always give the same name, and other parts another name, as
/// long as the suffix has passed [`check_suffix`].
pub fn object_name(
    folder: &FolderPath,
    task: &TaskName,
    lane: u32,
    sequence: u64,
    suffix: &str,
) -> ObjectName {
    let middle = middle(folder, task, suffix);
    ObjectName(format!("{folder}/{task}_{lane}_{middle}__{sequence}{suffix}"))
}

/// Takes a listed name apart, if it is one that [`object_name`] gives for this task and suffix.
pub fn recognise(name: &str, task: &TaskName, suffix: &str) -> Option<ObjectParts> {
    let (folder, file) = name.rsplit_once('/')?;
    let (lane, rest) = file.strip_prefix(task.as_str())?.strip_prefix('_')?.split_once('_')?;
    let (_, sequence) = rest.strip_suffix(suffix)?.rsplit_once("__")?;
    let parts = ObjectParts {
        folder: FolderPath::new(folder),
        lane: lane.parse().ok()?,
        sequence: sequence.parse().ok()?,
    };
    let again = object_name(&parts.folder, task, parts.lane, parts.sequence, suffix);
    (again.as_str() == name).then_some(parts)
}

/// Checks what object names are asked to end with: nothing, or a dot and up to 31 letters, digits, dots,
/// hyphens and underscores. The dot keeps the sequence readable.
///
/// # Errors
/// A parameter violation that says the rule.
pub fn check_suffix(suffix: &str) -> Result<(), Violation> {
    let letters_fit = suffix.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if suffix.is_empty() || (suffix.starts_with('.') && suffix.len() <= SUFFIX_BYTES_MAX && letters_fit) {
        return Ok(());
    }
    Err(Violation::parameter(format!(
        "Invalid object suffix: '{suffix}'. Use a dot and up to 31 letters, digits, dots, hyphens and \
         underscores, or nothing."
    )))
}

fn middle(folder: &FolderPath, task: &TaskName, suffix: &str) -> String {
    let whole = folder.as_str().replace('/', "_");
    let beside = task.as_str().len() + "_".len() * 2 + "__".len() + NUMBER_BYTES_MAX + suffix.len();
    let in_all = folder.as_str().len() + "/".len() + beside;
    let room = SEGMENT_BYTES_MAX.saturating_sub(beside).min(NAME_BYTES_MAX.saturating_sub(in_all));
    if whole.len() <= room {
        return whole;
    }
    let hash = format!("-{:016x}", fnv1a(folder.as_str().as_bytes()));
    let mut kept = room.saturating_sub(hash.len());
    while !whole.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}{hash}", &whole[..kept])
}

/// FNV-1a, 64 bits. It is part of the names of objects: it must never change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Zone;
    use crate::prefix::Prefix;
    use proptest::prelude::*;

    fn task(name: &str) -> TaskName {
        TaskName::parse(name).unwrap()
    }

    fn first_object(prefix: &str) -> String {
        let folder = Prefix::parse(prefix).unwrap().folder(1_598_889_780_000_000, &Zone::UTC);
        object_name(&folder, &task("testTask"), 0, 1, "").as_str().to_owned()
    }

    #[test]
    fn first_objects_are_named_as_documented() {
        assert_eq!(first_object("myPrefix"), "myPrefix/testTask_0_myPrefix__1");
        assert_eq!(
            first_object("myPrefix/$yyyy/$MM/$dd/$HH/$mm"),
            "myPrefix/2020/08/31/16/03/testTask_0_myPrefix_2020_08_31_16_03__1"
        );
        assert_eq!(
            first_object("myPrefix/year=$yyyy/month=$MM/day=$dd"),
            "myPrefix/year=2020/month=08/day=31/testTask_0_myPrefix_year=2020_month=08_day=31__1"
        );
        assert_eq!(first_object("ds=$yyyy$MM$dd"), "ds=20200831/testTask_0_ds=20200831__1");
    }

    #[test]
    fn a_suffix_ends_the_name() {
        let name = object_name(&FolderPath::new("p"), &task("t-1"), 3, 17, ".parquet");
        assert_eq!(name.as_str(), "p/t-1_3_p__17.parquet");
        assert!(check_suffix(".parquet").is_ok() && check_suffix("").is_ok());
        for bad in ["parquet", "1", "./x", ". ", &format!(".{}", "x".repeat(32))] {
            assert!(check_suffix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_folder_is_shortened_with_a_hash_that_never_changes() {
        let folder = FolderPath::new(&format!("{}/{}", "é".repeat(100), "b".repeat(100)));
        let name = object_name(&folder, &task("testTask"), 0, 1, ".parquet");
        let file = name.as_str().rsplit_once('/').unwrap().1;
        // 255 bytes less what stands beside the middle, which leaves 188 for the folder: no half letter.
        assert_eq!(file, format!("testTask_0_{}-133c146be447a196__1.parquet", "é".repeat(94)));
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn foreign_names_are_not_recognised() {
        let t = task("t");
        for foreign in [
            "p/t_0_p__1.parquet",
            "p/t_00_p__1",
            "p/t_0_p__01",
            "p/t_0_q__1",
            "p/u_0_p__1",
            "t_0___1",
            "p/t_0_p__",
            "p/t_0_p__1/x",
        ] {
            assert_eq!(recognise(foreign, &t, ""), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_recognised_and_fits(
            segments in prop::collection::vec("[a-z0-9_=é]{1,120}", 1..6),
            task_name in "[A-Za-z0-9_-]{1,64}",
            lane in any::<u32>(),
            sequence in any::<u64>(),
            suffix in prop::sample::select(vec!["", ".parquet"]),
        ) {
            let mut path = segments.join("/");
            while path.len() > 850 { path.pop(); }
            let folder = FolderPath::new(path.trim_end_matches('/'));
            let task = task(&task_name);
            let name = object_name(&folder, &task, lane, sequence, suffix);
            prop_assert!(name.as_str().len() <= 1023);
            prop_assert!(name.as_str().rsplit('/').next().unwrap().len() <= 255);
            let parts = ObjectParts { folder, lane, sequence };
            prop_assert_eq!(recognise(name.as_str(), &task, suffix), Some(parts));
        }

        #[test]
        fn any_listed_name_can_be_tried(name in any::<String>()) {
            let _ = recognise(&name, &task("t"), "");
        }
    }
}
