//! The value-transfer rule: a part of a text, found by a pattern and turned into another type.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::limits;
use crate::value::ValueRef;
use crate::violation::Violation;

/// Bytes that most compiled patterns take at most; each `\w` alone, with all letters there are, takes most of it.
const COMPILED_BYTES: usize = 64 * 1024;
/// Bytes that a compiled pattern may take, and what it then counts among those of a request. They bound the time too:
/// at its worst, each byte of a text meets each state of the pattern.
const LARGE_BYTES_MAX: usize = 256 * 1024;
const LARGE_COUNT: usize = LARGE_BYTES_MAX / COMPILED_BYTES;
/// Bytes of each of the two caches that quicken a pattern's search.
const CACHE_BYTES_MAX: usize = 128 * 1024;

/// Takes a part out of a text and casts it: the first group of the first match of a pattern, or the whole match
/// where the pattern has no group, as the original's reference of ValueTransferRule describes it.
///
/// Patterns are searched for anywhere in the first 64 KiB of the text. Matching takes time linear in the text's
/// length and the pattern's size: there are no back references and no look-around.
#[derive(Debug, Clone)]
pub struct ValueTransfer {
    pattern: Arc<Regex>,
    /// What to make of the part; `None` leaves it a text.
    cast: Option<CastKind>,
}

/// The patterns of one request. Each is compiled once, however often it comes.
#[derive(Debug, Default)]
pub struct Patterns {
    compiled: Vec<Arc<Regex>>,
    count: usize,
}

/// What a part of a text can be turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CastKind {
    /// A 64-bit signed integer in decimal.
    Integer,
    /// An IEEE 754 double in decimal.
    Double,
    /// Text, which it is already.
    String,
    /// Its bytes.
    Binary,
}

impl Patterns {
    /// A rule with this pattern.
    ///
    /// # Errors
    /// As [`ValueTransfer::new`], or if it is more than [`limits::PATTERNS_MAX`] with the others. A large one counts as
    /// four.
    pub fn transfer(&mut self, pattern: &str, cast: Option<CastKind>) -> Result<ValueTransfer, Violation> {
        if let Some(known) = self.compiled.iter().find(|known| known.as_str() == pattern) {
            return Ok(ValueTransfer { pattern: known.clone(), cast });
        }
        let (pattern, count) = compile(pattern)?;
        self.count += count;
        if self.count > limits::PATTERNS_MAX {
            return Err(Violation::parameter(format!(
                "The count of different regexes of value transfer rules in a request exceeds the max: {}.",
                limits::PATTERNS_MAX
            )));
        }
        let pattern = Arc::new(pattern);
        self.compiled.push(pattern.clone());
        Ok(ValueTransfer { pattern, cast })
    }
}

impl ValueTransfer {
    /// Takes a pattern and what the part that it finds is to be cast to. Those of one request share [`Patterns`].
    ///
    /// # Errors
    /// The pattern is none, is longer than [`limits::REGEX_BYTES_MAX`], or would take too much memory.
    pub fn new(pattern: &str, cast: Option<CastKind>) -> Result<Self, Violation> {
        let (pattern, _) = compile(pattern)?;
        Ok(Self { pattern: Arc::new(pattern), cast })
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// What the part is cast to; `None` leaves it a text.
    pub fn cast(&self) -> Option<CastKind> {
        self.cast
    }

    /// What to compare instead of the value. `None` if the value is no text, if nothing in it matches, if the
    /// pattern's group has no part in the match, or if what was found cannot be cast.
    pub fn apply<'a>(&self, value: ValueRef<'a>) -> Option<ValueRef<'a>> {
        let ValueRef::String(text) = value else { return None };
        let part = self.part(beginning(text))?;
        match self.cast {
            None | Some(CastKind::String) => Some(ValueRef::String(part)),
            Some(CastKind::Integer) => part.parse().ok().map(ValueRef::Integer),
            Some(CastKind::Double) => part.parse().ok().map(ValueRef::Double),
            Some(CastKind::Binary) => Some(ValueRef::Binary(part.as_bytes())),
        }
    }

    fn part<'a>(&self, text: &'a str) -> Option<&'a str> {
        let part = match self.pattern.captures_len() {
            // The whole match is the one before the groups.
            1 => self.pattern.find(text),
            _ => self.pattern.captures(text)?.get(1),
        };
        part.map(|part| part.as_str())
    }
}

/// The pattern, and what it counts.
fn compile(pattern: &str) -> Result<(Regex, usize), Violation> {
    if pattern.len() > limits::REGEX_BYTES_MAX {
        return Err(Violation::parameter(format!(
            "The length of the regex of a value transfer rule exceeds the MaxLength:{} with CurrentLength:{}.",
            limits::REGEX_BYTES_MAX,
            pattern.len()
        )));
    }
    for (bytes_max, count) in [(COMPILED_BYTES, 1), (LARGE_BYTES_MAX, LARGE_COUNT)] {
        let compiled =
            RegexBuilder::new(pattern).size_limit(bytes_max).dfa_size_limit(CACHE_BYTES_MAX).build();
        match compiled {
            Ok(pattern) => return Ok((pattern, count)),
            Err(regex::Error::CompiledTooBig(_)) => {}
            // What exactly is wrong with it takes several lines to tell, with the pattern in them.
            Err(_) => {
                return Err(Violation::parameter("The regex of a value transfer rule is invalid."));
            }
        }
    }
    Err(Violation::parameter("The regex of a value transfer rule is too large when compiled."))
}

/// As much of a text as is looked at.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(limits::TRANSFERRED_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl PartialEq for ValueTransfer {
    fn eq(&self, other: &Self) -> bool {
        self.pattern() == other.pattern() && self.cast == other.cast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied<'a>(pattern: &str, cast: Option<CastKind>, text: &'a str) -> Option<ValueRef<'a>> {
        ValueTransfer::new(pattern, cast).unwrap().apply(ValueRef::String(text))
    }

    #[test]
    fn the_first_group_of_the_first_match_is_taken_and_cast() {
        let text = "t0:9,t1:abc,t2:-42,t2:7,";
        assert_eq!(applied("t1:([a-z]+),", None, text), Some(ValueRef::String("abc")));
        assert_eq!(applied("t1:([a-z]+),", Some(CastKind::String), text), Some(ValueRef::String("abc")));
        assert_eq!(applied("t1:([a-z]+),", Some(CastKind::Binary), text), Some(ValueRef::Binary(b"abc")));
        assert_eq!(applied(r"t2:(-?\d+),", Some(CastKind::Integer), text), Some(ValueRef::Integer(-42)));
        assert_eq!(
            applied("xxx([0-9.]+)yyy", Some(CastKind::Double), "axxx1.5yyyb"),
            Some(ValueRef::Double(1.5))
        );
    }

    #[test]
    fn without_a_group_the_whole_match_is_taken() {
        assert_eq!(applied("1[a-z]+5", None, "1aaa51bbb5"), Some(ValueRef::String("1aaa5")));
        assert_eq!(applied("1([a-z]+)5", None, "1aaa51bbb5"), Some(ValueRef::String("aaa")));
    }

    #[test]
    fn what_does_not_match_or_cannot_be_cast_is_nothing() {
        assert_eq!(applied("t1:([a-z]+),", None, "t1:123,"), None);
        assert_eq!(applied("a(b)?", None, "a"), None, "a group that is not in the match");
        assert_eq!(applied("([a-z]+)", Some(CastKind::Integer), "abc"), None);
        assert_eq!(applied("([0-9]+)", Some(CastKind::Integer), "9223372036854775808"), None, "out of range");
        let transfer = ValueTransfer::new("(.*)", None).unwrap();
        assert_eq!(transfer.apply(ValueRef::Binary(b"a")), None);
        assert_eq!(transfer.apply(ValueRef::Integer(1)), None);
    }

    #[test]
    fn patterns_are_bounded_before_and_after_they_are_compiled() {
        let message = |pattern: &str| ValueTransfer::new(pattern, None).unwrap_err().message;
        assert_eq!(message("(a"), "The regex of a value transfer rule is invalid.");
        assert!(message("(((a{100}){100}){100}){100}").contains("too large"));
        let long = "a".repeat(limits::REGEX_BYTES_MAX + 1);
        assert!(message(&long).ends_with("MaxLength:256 with CurrentLength:257."));
        assert!(message(r"(\w{200})").contains("too large"));
        for usual in [r"(\w+)", r"(?i)id=([a-f0-9-]{36})", r"^\s*(\p{Lu}\S*)", "é(.)", r"(\w+)@(\w+)\.(\w+)"]
        {
            assert!(ValueTransfer::new(usual, None).is_ok(), "{usual}");
        }
    }

    #[test]
    fn a_request_has_so_many_different_patterns_and_the_same_one_often() {
        let mut patterns = Patterns::default();
        for at in 0..limits::PATTERNS_MAX {
            patterns.transfer(&format!("a{at}"), None).unwrap();
        }
        for cast in [None, Some(CastKind::Integer)] {
            assert_eq!(patterns.transfer("a0", cast).unwrap().cast(), cast);
        }
        let message = patterns.transfer("b", None).unwrap_err().message;
        assert!(message.ends_with("in a request exceeds the max: 32."), "{message}");
        let mut large = Patterns::default();
        let taken = (0..99).take_while(|at| large.transfer(&format!(r"(\w+)@(\w+){at}"), None).is_ok());
        assert_eq!(taken.count(), limits::PATTERNS_MAX / LARGE_COUNT, "a large one counts as four");
    }

    #[test]
    fn a_rule_looks_at_the_beginning_of_a_text() {
        let mut text = "\u{e9}".repeat(limits::TRANSFERRED_BYTES_MAX / 2 - 1);
        text.push_str("x\u{e9}y");
        assert_eq!(applied("x", None, &text), Some(ValueRef::String("x")));
        assert_eq!(applied("y", None, &text), None, "the text is cut within a letter");
    }
}
