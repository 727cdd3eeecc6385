//! A short run of every decoder, and of what the corpus holds. `cargo xtask fuzz` runs longer ones.

use lakeferry_fuzz::run::{self, Plan};
use lakeferry_fuzz::{corpus, target};
use lakeferry_wire::operation::{Operation, Support};

#[test]
fn every_decoder_takes_its_samples_its_corpus_and_some_mutants() {
    let failures: Vec<_> = target::all()
        .iter()
        .filter_map(|target| run::run(target, Plan { cases: 2_000, seed: 1, first: 0 }, None).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_operation_that_is_served_has_a_target() {
    let targets: Vec<_> = target::all().iter().map(|target| target.name).collect();
    for operation in Operation::ALL.iter().filter(|operation| operation.support() == Support::Served) {
        // The same message under another path.
        let twin = *operation == Operation::TunnelGetRpoByOffset;
        assert!(twin || targets.contains(&operation.name()), "{operation}");
    }
}

#[test]
fn every_file_of_the_corpus_belongs_to_a_target() {
    let targets: Vec<_> = target::all().iter().map(|target| target.name.replace('/', "_")).collect();
    for name in corpus::names().unwrap() {
        assert!(targets.contains(&name), "{name}");
    }
}
