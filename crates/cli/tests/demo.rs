//! `lakeferry demo`.

use std::process::{Command, Stdio};

use crate::program::{Said, lakeferry, run, signal_to};

fn check(said: &Said, data: &std::path::Path) {
    assert_eq!(said.code, Some(0), "{said:?}");
    let answer = &said.answer;
    assert!(answer.contains("the lake equals the table: ") && answer.contains("  FULL  "), "{answer}");
    assert!(answer.contains("  INCR  "), "{answer}");
    let objects = data.canonicalize().unwrap().join("1/lake/demo/metrics");
    assert!(answer.contains(objects.to_str().unwrap()), "{answer}");
    let command = answer.lines().find(|line| line.trim_start().starts_with("duckdb -c ")).unwrap();
    let shown = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "duckdb() {{ ls $(dirname \"$(echo \"$2\" | cut -d\\' -f2 | cut -d'*' -f1)x\"); }}; {command}"
        ))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("year="), "the command names the objects' directory, not {shown}");
}

#[test]
fn the_demo_ends_by_itself_with_a_lake_that_equals_the_table() {
    let data = tempfile::tempdir().unwrap();
    check(&run(lakeferry().args(["demo", "--seconds", "5", "--data"]).arg(data.path())), data.path());
}

#[test]
fn the_demo_ends_on_ctrl_c_with_the_same_check() {
    let data = tempfile::tempdir().unwrap();
    let mut command = lakeferry();
    command.args(["demo", "--data"]).arg(data.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let demo = command.spawn().unwrap();
    // Not before it listens to signals, which it does before it makes its directory.
    while !data.path().join("1").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    signal_to(&demo, "INT");
    let output = demo.wait_with_output().unwrap();
    let said = Said {
        code: output.status.code(),
        answer: String::from_utf8(output.stdout).unwrap(),
        notes: String::from_utf8(output.stderr).unwrap(),
    };
    check(&said, data.path());
}
