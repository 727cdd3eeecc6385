//! What an operator sets up, and what a command says when the answer is no.

use crate::program::{Server, lakeferry, run};

#[test]
fn an_operator_sets_up_instances_buckets_roles_and_keys() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let ask = |line: &str| {
        let said = server.ask(data.path(), line);
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
        said
    };
    ask("instance create shop");
    ask("bucket create lake");
    assert!(data.path().join("lake/lake").is_dir());
    ask(
        "bucket add far --url s3://far --store-endpoint http://127.0.0.1:1 --store-key-id a --store-key-secret hush",
    );
    let buckets = ask("bucket list").answer;
    assert!(buckets.contains("lake/lake") && buckets.contains("s3://far"), "{buckets}");
    assert!(!ask("bucket list --json").answer.contains("hush"));
    ask("role create reader");
    assert!(ask("role list").answer.contains("reader"));
    ask("role delete reader");
    let made = ask("key create --grant shop").answer;
    let key = made.lines().find_map(|line| line.strip_prefix("export TABLESTORE_ACCESS_KEY_ID=")).unwrap();
    assert!(ask("key list").answer.contains(key));
    ask(&format!("key delete {key}"));
    assert!(!ask("key list").answer.contains(key));
}

#[test]
fn an_applications_key_uses_its_instance_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    server.ask(data.path(), "instance create shop");
    let made = server.ask(data.path(), "key create --grant shop").answer;
    let as_application = |line: &str| {
        let mut command = server.client(data.path());
        for export in made.lines().filter_map(|line| line.strip_prefix("export ")) {
            let (name, value) = export.split_once('=').unwrap();
            command.env(name, value);
        }
        run(command.args(line.split_whitespace()))
    };
    assert_eq!(as_application("table list --instance shop").code, Some(0));
    let said = as_application("bucket create mine");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.notes.contains("operator"), "{}", said.notes);
}

#[test]
fn what_is_not_there_is_no_and_a_server_that_is_not_there_is_broken() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let said = server.ask(data.path(), "table list --instance shop");
    assert_eq!((said.code, said.answer.as_str()), (Some(1), ""));
    assert!(said.notes.contains("lakeferry instance create shop"), "{}", said.notes);
    server.ask(data.path(), "instance create shop");
    assert_eq!(server.ask(data.path(), "table describe t --instance shop").code, Some(1));
    assert_eq!(server.ask(data.path(), "role delete nobody").code, Some(1));
    assert_eq!(server.ask(data.path(), "instance create shop").code, Some(1));

    let mut command = lakeferry();
    command.env("TABLESTORE_ACCESS_KEY_ID", "a").env("TABLESTORE_ACCESS_KEY_SECRET", "b");
    let said = run(command.args(["instance", "list", "--endpoint", "http://127.0.0.1:9"]));
    assert_eq!(said.code, Some(2));
    assert!(said.notes.contains("lakeferry serve"), "{}", said.notes);
}

#[test]
fn a_wrong_secret_is_told_as_such() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--dev"]);
    let mut command = server.client(data.path());
    command.env("TABLESTORE_ACCESS_KEY_ID", "dev").env("TABLESTORE_ACCESS_KEY_SECRET", "wrong");
    let said = run(command.args(["instance", "list"]));
    assert_eq!(said.code, Some(2));
    assert!(said.notes.contains("TABLESTORE_ACCESS_KEY_SECRET"), "{}", said.notes);
}
