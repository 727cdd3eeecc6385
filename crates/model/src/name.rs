//! Names that have passed their rules. Each type is built only by its `parse`.

use std::fmt;
use std::sync::Arc;

use crate::limits::NAME_BYTES_MAX;
use crate::violation::Violation;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type! {
    /// A table's name: `[A-Za-z_][A-Za-z0-9_]*`, 1 to 255 bytes.
    TableName
}
name_type! {
    /// An instance's name: 1 to 32 letters, digits and hyphens, beginning with a letter.
    InstanceName
}
name_type! {
    /// A delivery task's name as the wire takes it: 1 to 64 letters, digits, hyphens and underscores.
    TaskName
}
name_type! {
    /// A bucket's name: 1 to 63 lowercase letters, digits, hyphens, dots and underscores.
    BucketName
}
name_type! {
    /// The short name of a role: 1 to 64 letters, digits, hyphens, dots and underscores.
    RoleName
}

impl TableName {
    /// # Errors
    /// A parameter violation with the protocol's text.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let first_fits = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if first_fits && text.len() <= NAME_BYTES_MAX && all_of(text, "_") {
            Ok(Self(text.into()))
        } else {
            Err(Violation::parameter(format!("Invalid table name: '{text}'.")))
        }
    }
}

impl InstanceName {
    /// # Errors
    /// A parameter violation.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.len() <= 32 && all_of(text, "-") {
            Ok(Self(text.into()))
        } else {
            Err(Violation::parameter(format!("Invalid instance name: '{text}'.")))
        }
    }
}

impl TaskName {
    /// # Errors
    /// A parameter violation that says the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        if !text.is_empty() && text.len() <= 64 && all_of(text, "-_") {
            Ok(Self(text.into()))
        } else {
            Err(Violation::parameter(format!(
                "Invalid task name: '{text}'. Use 1 to 64 letters, digits, hyphens and underscores."
            )))
        }
    }

    /// The stricter documented rule, which our own program and console hold new names to.
    ///
    /// # Errors
    /// A parameter violation that says the rule.
    pub fn parse_documented(text: &str) -> Result<Self, Violation> {
        let ends_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = (3..=16).contains(&text.len())
            && text.starts_with(ends_fit)
            && text.ends_with(ends_fit)
            && text.chars().all(|c| ends_fit(c) || c == '-');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(Violation::parameter(format!(
                "Invalid task name: '{text}'. Use 3 to 16 lowercase letters, digits and hyphens; \
                 begin and end with a letter or digit."
            )))
        }
    }
}

impl BucketName {
    /// # Errors
    /// A parameter violation that says the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let fits = !text.is_empty()
            && text.len() <= 63
            && !text.starts_with('.')
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(Violation::parameter(format!(
                "Invalid bucket name: '{text}'. Use 1 to 63 lowercase letters, digits, hyphens, dots and \
                 underscores, and no dot in front."
            )))
        }
    }
}

impl RoleName {
    /// Takes a short name or an ARN such as `acs:ram::123:role/aliyunserviceroleforotsdatadelivery`, of which
    /// it keeps what follows the last slash.
    ///
    /// # Errors
    /// A parameter violation that says the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let short = text.rsplit('/').next().unwrap_or(text);
        if !short.is_empty() && short.len() <= 64 && all_of(short, "-._") {
            Ok(Self(short.into()))
        } else {
            Err(Violation::parameter(format!(
                "Invalid role: '{text}'. Name it, or give its ARN ending in 'role/NAME'."
            )))
        }
    }
}

/// Checks the name of a primary key or attribute column: 1 to 255 bytes, not starting with `#`.
///
/// # Errors
/// A parameter violation with the protocol's text.
pub fn check_column_name(name: &str) -> Result<(), Violation> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('#') {
        return Err(Violation::parameter(format!("Invalid column name: '{name}'.")));
    }
    Ok(())
}

fn all_of(text: &str, besides: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || besides.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_begins_with_a_letter_or_underscore() {
        assert!(TableName::parse("_t1").is_ok());
        for bad in ["", "1t", "a-b", "é", &"x".repeat(256)] {
            assert_eq!(TableName::parse(bad).unwrap_err().message, format!("Invalid table name: '{bad}'."));
        }
    }

    #[test]
    fn documented_task_names_are_narrower_than_those_of_the_wire() {
        assert!(TaskName::parse("taskTest_29").is_ok());
        assert!(TaskName::parse_documented("taskTest_29").is_err());
        assert!(TaskName::parse_documented("first-task").is_ok());
        assert!(TaskName::parse_documented("-ab").is_err());
    }

    #[test]
    fn a_role_is_known_by_the_end_of_its_arn() {
        let role = RoleName::parse("acs:ram::17:role/aliyunserviceroleforotsdatadelivery").unwrap();
        assert_eq!(role.as_str(), "aliyunserviceroleforotsdatadelivery");
    }
}
