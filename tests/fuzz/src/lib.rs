//! Every decoder of foreign bytes, under random and mutated bytes.
//!
//! A [`target`] is one decoder with samples of what it takes. [`run`] gives it the samples, what the corpus in
//! the repository holds, and as many mutants of both as asked for. A decoder may refuse whatever it likes; it
//! must not panic, overflow its stack, or take much more memory than it was given bytes. [`server`] does the
//! same to a running server: whatever is sent to it, it answers as the protocol says, and does not grow.
//!
//! Everything is drawn from a seed, on any machine the same: the seed and the number of a case bring it back.

pub mod corpus;
pub mod mutate;
pub mod random;
pub mod run;
pub mod samples;
pub mod server;
pub mod target;
