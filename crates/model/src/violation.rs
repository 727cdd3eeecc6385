//! A rule of the model that an input breaks, in the protocol's own words.

use std::fmt;

/// Which family of rules was broken; the wire has one error code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A parameter is malformed or out of its limits (`OTSParameterInvalid`).
    Parameter,
    /// A primary key does not fit the table's schema (`OTSInvalidPK`).
    PrimaryKey,
    /// A row lies outside the one partition key that an atomic batch or a transaction may touch
    /// (`OTSDataOutOfRange`).
    Scope,
}

/// A broken rule. The message is the protocol's exact text where one is documented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// The family of the broken rule.
    pub rule: Rule,
    /// What to tell the caller.
    pub message: String,
}

impl Violation {
    /// A violation of a parameter rule.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self { rule: Rule::Parameter, message: message.into() }
    }

    /// A violation of a primary key rule.
    pub fn primary_key(message: impl Into<String>) -> Self {
        Self { rule: Rule::PrimaryKey, message: message.into() }
    }

    /// A violation of the rule that rows share a partition key.
    pub fn scope(message: impl Into<String>) -> Self {
        Self { rule: Rule::Scope, message: message.into() }
    }

    /// A row of an atomic batch does not have the partition key of the first.
    pub fn out_of_atomic(first: impl fmt::Display, other: impl fmt::Display) -> Self {
        Self::scope(format!("Data out of scope of atomic. Atomic PartKey:{first}. Data PartKey:{other}"))
    }
}
