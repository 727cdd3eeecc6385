//! The destination prefix: a path with time variables.
//!
//! The grammar: `$yyyy`, `$MM`, `$dd`, `$HH` and `$mm` are the year, month, day, hour and minute, `$$` is a
//! dollar sign, and anything else after a dollar sign is refused. Slashes at the ends are dropped. Every
//! variable has a fixed width, so whether two prefixes can name one folder is decided letter by letter.

use std::fmt::{self, Write as _};

use chrono::{Datelike, Timelike};
use lakeferry_model::{Micros, Violation};

use crate::SERVICE_FOLDER;
use crate::folder::{FolderPath, Zone};
use crate::folder_time::BY_LENGTH;

/// Bytes of a folder. An object's shortened name still fits behind it into the 1,023 that stores allow.
const FOLDER_BYTES_MAX: usize = 850;
/// Bytes of one segment on a local disk.
const SEGMENT_BYTES_MAX: usize = 255;

/// A destination prefix that has passed its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Fixed(String),
    Variable(Variable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

/// How long a stretch of time surely shares a folder, clock changes aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grain {
    Minute,
    Hour,
    Day,
}

impl Variable {
    const ALL: [(&'static str, Self); 5] = [
        ("yyyy", Self::Year),
        ("MM", Self::Month),
        ("dd", Self::Day),
        ("HH", Self::Hour),
        ("mm", Self::Minute),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Year => "yyyy",
            Self::Month => "MM",
            Self::Day => "dd",
            Self::Hour => "HH",
            Self::Minute => "mm",
        }
    }

    fn grain(self) -> Grain {
        match self {
            Self::Year | Self::Month | Self::Day => Grain::Day,
            Self::Hour => Grain::Hour,
            Self::Minute => Grain::Minute,
        }
    }
}

impl Prefix {
    /// Reads a prefix as a task names it.
    ///
    /// # Errors
    /// A parameter violation that names what is wrong: nothing but slashes, an unknown variable, a segment
    /// that is empty, `.`, `..` or too long, our own folder in front, a control character.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let refused =
            |why: &str| Violation::parameter(format!("Invalid destination prefix: '{text}'. {why}"));
        let trimmed = text.trim_matches('/');
        if trimmed.is_empty() {
            return Err(refused("Name at least one folder."));
        }
        if trimmed.chars().any(char::is_control) {
            return Err(refused("Control characters are not allowed."));
        }
        let prefix = Self { parts: parse_parts(trimmed).map_err(|why| refused(&why))? };
        let sample = prefix.folder(0, &Zone::UTC);
        for (at, segment) in sample.as_str().split('/').enumerate() {
            match segment {
                "" => return Err(refused("Two slashes in a row name no folder.")),
                "." | ".." => return Err(refused("The segments '.' and '..' are not allowed.")),
                SERVICE_FOLDER if at == 0 => {
                    return Err(refused("The folder '_lakeferry' is the service's own."));
                }
                long if long.len() > SEGMENT_BYTES_MAX => {
                    return Err(refused("A segment has at most 255 bytes."));
                }
                _ => {}
            }
        }
        if sample.as_str().len() > FOLDER_BYTES_MAX {
            return Err(refused("A folder has at most 850 bytes."));
        }
        Ok(prefix)
    }

    /// The folder of a time, in microseconds since the epoch. Times outside the years 1970 to 9999 are taken
    /// as the nearest inside.
    pub fn folder(&self, at: Micros, zone: &Zone) -> FolderPath {
        let time = zone.wall_clock(at);
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Fixed(fixed) => text.push_str(fixed),
                Part::Variable(variable) => {
                    let written = match variable {
                        Variable::Year => write!(text, "{:04}", time.year()),
                        Variable::Month => write!(text, "{:02}", time.month()),
                        Variable::Day => write!(text, "{:02}", time.day()),
                        Variable::Hour => write!(text, "{:02}", time.hour()),
                        Variable::Minute => write!(text, "{:02}", time.minute()),
                    };
                    written.expect("a string takes all that is written to it");
                }
            }
        }
        FolderPath::new(&text)
    }

    /// The longest path above all folders of this prefix; empty if the first segment is not fixed. Listing
    /// below it meets every object that the prefix can name.
    pub fn fixed_root(&self) -> String {
        if self.grain().is_none() {
            return self.folder(0, &Zone::UTC).as_str().to_owned();
        }
        let fixed = match self.parts.first() {
            Some(Part::Fixed(fixed)) => fixed.as_str(),
            _ => "",
        };
        fixed.rsplit_once('/').map_or("", |(root, _)| root).to_owned()
    }

    /// What is accepted with a doubt.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.fixed_root().is_empty() {
            warnings.push(format!(
                "the prefix '{self}' has no fixed first segment: a glob over the bucket must name its pattern"
            ));
        }
        let sample = self.folder(0, &Zone::UTC);
        let hidden = |segment: &&str| segment.starts_with(['_', '.']) && !segment.contains('=');
        if let Some(segment) = sample.as_str().split('/').find(hidden) {
            warnings.push(format!("Hive and Spark do not look into folders such as '{segment}'"));
        }
        warnings
    }

    /// The keys of Hive-style segments such as `year=$yyyy`, which query engines show as columns.
    pub fn hive_keys(&self) -> Vec<String> {
        let sample = self.folder(0, &Zone::UTC);
        let keys = sample.as_str().split('/').filter_map(|segment| segment.split_once('='));
        keys.filter(|(key, _)| !key.is_empty()).map(|(key, _)| key.to_owned()).collect()
    }

    /// Whether some time of one prefix and some time of the other fall into the same folder. It may say yes
    /// where the calendar says no.
    pub fn may_share_folder(&self, other: &Self) -> bool {
        let (a, b) = (self.pattern(), other.pattern());
        a.len() == b.len()
            && a.iter().zip(&b).all(|pair| match pair {
                (Some(a), Some(b)) => a == b,
                (Some(fixed), None) | (None, Some(fixed)) => fixed.is_ascii_digit(),
                (None, None) => true,
            })
    }

    /// Whether the prefix has time variables.
    pub(crate) fn has_variables(&self) -> bool {
        self.grain().is_some()
    }

    /// Whether an object below `folder`, which is fixed, might lie in or below a folder of this prefix, or
    /// below the path above all of them.
    pub(crate) fn may_hold(&self, folder: &Self) -> bool {
        let path = folder.folder(0, &Zone::UTC);
        let below = |root: &str| {
            let rest = path.as_str().strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let root = self.fixed_root();
        if !root.is_empty() {
            return below(&root);
        }
        let (pattern, path) = (self.pattern(), path.as_str().as_bytes());
        let fits =
            |(wanted, byte): (&Option<u8>, &u8)| wanted.map_or(byte.is_ascii_digit(), |fixed| fixed == *byte);
        // The folders may differ in their depth: the shorter path is a folder above the other.
        let shared = pattern.len().min(path.len());
        pattern.iter().zip(path).all(fits)
            && (path.get(shared).is_none_or(|byte| *byte == b'/')
                && pattern.get(shared).is_none_or(|byte| *byte == Some(b'/')))
    }

    /// The finest variable's grain; nothing if there is no variable.
    pub(crate) fn grain(&self) -> Option<Grain> {
        let variables = self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable.grain()),
            Part::Fixed(_) => None,
        });
        variables.min()
    }

    /// What a folder of this prefix says of its year, month, day, hour and minute; nothing if it is none of its
    /// folders.
    pub(crate) fn read_variables(&self, folder: &str) -> Option<[Option<u32>; 5]> {
        let mut values = [None; 5];
        let mut rest = folder;
        for part in &self.parts {
            match part {
                Part::Fixed(fixed) => rest = rest.strip_prefix(fixed.as_str())?,
                Part::Variable(variable) => {
                    let (digits, behind) = rest.split_at_checked(variable.name().len())?;
                    let value =
                        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
                    let at = BY_LENGTH.iter().position(|known| known == variable)?;
                    if values[at].is_some() && values[at] != value {
                        return None;
                    }
                    (values[at], rest) = (value, behind);
                }
            }
        }
        rest.is_empty().then_some(values)
    }

    /// Byte by byte: a fixed one, or any digit.
    fn pattern(&self) -> Vec<Option<u8>> {
        let mut pattern = Vec::new();
        for part in &self.parts {
            match part {
                Part::Fixed(fixed) => pattern.extend(fixed.bytes().map(Some)),
                Part::Variable(variable) => pattern.extend(variable.name().bytes().map(|_| None)),
            }
        }
        pattern
    }
}

/// Writes the prefix as it would be asked for again.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Fixed(fixed) => f.write_str(&fixed.replace('$', "$$")),
            Part::Variable(variable) => write!(f, "${}", variable.name()),
        })
    }
}

fn parse_parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut fixed = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        fixed.push_str(before);
        if let Some(behind) = after.strip_prefix('$') {
            fixed.push('$');
            rest = behind;
            continue;
        }
        let known = Variable::ALL.into_iter().find(|(name, _)| after.starts_with(name));
        let Some((name, variable)) = known else {
            let unknown: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
            return Err(format!(
                "'${unknown}' is no time variable: use $yyyy, $MM, $dd, $HH, $mm, or $$ for a dollar sign."
            ));
        };
        if !fixed.is_empty() {
            parts.push(Part::Fixed(std::mem::take(&mut fixed)));
        }
        parts.push(Part::Variable(variable));
        rest = &after[name.len()..];
    }
    fixed.push_str(rest);
    if !fixed.is_empty() {
        parts.push(Part::Fixed(fixed));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2020-08-31 16:03, the time of the documented examples.
    const AT: Micros = 1_598_889_780_000_000;

    fn folder(prefix: &str) -> String {
        Prefix::parse(prefix).unwrap().folder(AT, &Zone::UTC).as_str().to_owned()
    }

    fn refusal(prefix: &str) -> String {
        Prefix::parse(prefix).unwrap_err().message
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(folder("myPrefix"), "myPrefix");
        assert_eq!(folder("/myPrefix/$yyyy/$MM/$dd/$HH/$mm//"), "myPrefix/2020/08/31/16/03");
        assert_eq!(folder("ds=$yyyy$MM$dd"), "ds=20200831");
        assert_eq!(folder("at/$ddT$HH"), "at/31T16");
        assert_eq!(folder("cost/$$$yyyy"), "cost/$2020");
        assert_eq!(folder("été/年=$yyyy"), "été/年=2020");
    }

    #[test]
    fn an_unknown_variable_is_refused_by_name() {
        assert!(refusal("a/$ss").contains("'$ss'"));
        assert!(refusal("a/$M").contains("'$M'"));
        assert!(refusal("a/$YYYY").contains("'$YYYY'"));
        assert!(refusal("a/$").contains("'$'"));
        assert!(refusal("a/${yyyy}").contains("'$'"));
    }

    #[test]
    fn segments_that_name_no_folder_are_refused() {
        for bad in ["", "/", "//", "a//b", "./a", "a/..", "_lakeferry", "/_lakeferry/x", "a\nb"] {
            assert!(Prefix::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Prefix::parse("a/_lakeferry").is_ok());
        assert!(Prefix::parse(&"x".repeat(255)).is_ok());
        assert!(Prefix::parse(&"x".repeat(256)).is_err());
        assert!(
            Prefix::parse(&format!(
                "{}/{}/{}/{}",
                "x".repeat(213),
                "x".repeat(213),
                "x".repeat(213),
                "y".repeat(209)
            ))
            .is_err()
        );
    }

    #[test]
    fn a_prefix_without_a_fixed_first_segment_gets_a_warning() {
        assert!(Prefix::parse("lake/$yyyy").unwrap().warnings().is_empty());
        assert!(Prefix::parse("lake").unwrap().warnings().is_empty());
        assert_eq!(Prefix::parse("$yyyy/x").unwrap().warnings().len(), 1);
        assert_eq!(Prefix::parse("ds=$yyyy").unwrap().warnings().len(), 1);
        assert!(Prefix::parse("_hidden/x").unwrap().warnings()[0].contains("'_hidden'"));
    }

    #[test]
    fn the_fixed_root_lies_above_every_folder() {
        for (prefix, root) in
            [("a/b", "a/b"), ("a/b/$yyyy", "a/b"), ("a/y=$yyyy", "a"), ("ds=$yyyy", ""), ("$$a/$yyyy", "$a")]
        {
            assert_eq!(Prefix::parse(prefix).unwrap().fixed_root(), root, "{prefix}");
        }
    }

    #[test]
    fn hive_keys_are_told() {
        assert_eq!(Prefix::parse("a/year=$yyyy/m/day=$dd").unwrap().hive_keys(), ["year", "day"]);
    }

    #[test]
    fn prefixes_that_can_meet_in_one_folder_are_told() {
        let share = |a: &str, b: &str| Prefix::parse(a).unwrap().may_share_folder(&Prefix::parse(b).unwrap());
        assert!(share("a/$yyyy", "a/$MM$dd"));
        assert!(share("a/2020", "a/$yyyy"));
        assert!(!share("a/$yyyy", "a/$MM"));
        assert!(!share("a/20x0", "a/$yyyy"));
        assert!(!share("a", "b"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_writes_back_what_it_read(text in "\\PC{0,20}|[$yMdHm/=a._]{0,24}") {
            if let Ok(prefix) = Prefix::parse(&text) {
                prop_assert_eq!(&Prefix::parse(&prefix.to_string()).unwrap(), &prefix);
                let folder = prefix.folder(AT, &Zone::UTC);
                prop_assert!(!folder.as_str().starts_with('/') && !folder.as_str().ends_with('/'));
                let root = prefix.fixed_root();
                let below = folder.as_str().strip_prefix(&root).unwrap();
                prop_assert!(root.is_empty() || below.is_empty() || below.starts_with('/'));
                prop_assert!(prefix.may_share_folder(&prefix));
            }
        }

        #[test]
        fn any_text_can_be_tried(text in any::<String>()) {
            let _ = Prefix::parse(&text);
        }
    }
}
