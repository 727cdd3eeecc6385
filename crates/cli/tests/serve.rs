//! `lakeferry serve`.

use crate::program::{Server, lakeferry, run};

#[test]
fn a_server_says_once_that_it_is_ready_and_stops_on_sigterm() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    assert!(server.endpoint.starts_with("http://127.0.0.1:"), "{}", server.endpoint);
    let (status, answer, notes) = server.end_with("TERM");
    assert!(status.success(), "{notes}");
    assert_eq!(answer, "", "one line is all that goes to stdout");
    assert!(notes.contains("operator-key.toml"), "{notes}");
}

#[test]
fn ctrl_c_stops_a_server_and_the_next_start_finds_what_it_had() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    assert_eq!(server.ask(data.path(), "instance create shop").code, Some(0));
    assert!(server.end_with("INT").0.success());
    let server = Server::start(data.path(), &[]);
    assert!(server.ask(data.path(), "instance list").answer.contains("shop"));
}

#[test]
fn a_server_for_development_prints_snippets_and_takes_the_known_key() {
    let nowhere = tempfile::tempdir().unwrap();
    let server = Server::start(nowhere.path(), &["--dev", "--ephemeral"]);
    let mut command = server.client(nowhere.path());
    command.env("TABLESTORE_ACCESS_KEY_ID", "dev").env("TABLESTORE_ACCESS_KEY_SECRET", "dev");
    let said = run(command.args(["table", "list", "--instance", "any"]));
    assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
    let (_, _, notes) = server.end_with("TERM");
    for language in ["# Python", "# Java", "# Go", "# Node.js"] {
        assert!(notes.contains(language), "{notes}");
    }
}

#[test]
fn a_taken_address_is_told_and_nothing_is_made() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(first.path(), &[]);
    let address = server.endpoint.trim_start_matches("http://");
    let data = second.path().join("data");
    let said = run(lakeferry().args(["serve", "--listen", address, "--data"]).arg(&data));
    assert_eq!(said.code, Some(2));
    assert!(said.notes.contains(address) && said.notes.contains("--listen"), "{}", said.notes);
    assert_eq!(said.answer, "");
    assert!(!data.exists());
}
