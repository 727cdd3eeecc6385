//! Tables, rows and files of rows, with the program's own commands.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use crate::program::{Said, Server, run};

/// A server for development, and a directory for files.
struct Place {
    server: Server,
    files: tempfile::TempDir,
}

impl Place {
    fn open() -> Self {
        let files = tempfile::tempdir().unwrap();
        Self { server: Server::start(files.path(), &["--dev", "--ephemeral"]), files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.server.client(self.files.path());
        command.env("TABLESTORE_ACCESS_KEY_ID", "dev").env("TABLESTORE_ACCESS_KEY_SECRET", "dev");
        command.env("TABLESTORE_INSTANCE", "shop").arg("table").args(words);
        command
    }

    fn ask(&self, words: &[&str]) -> Said {
        run(&mut self.command(words))
    }

    fn done(&self, words: &[&str]) -> String {
        let said = self.ask(words);
        assert_eq!(said.code, Some(0), "{words:?}: {said:?}");
        said.answer
    }

    /// A table with a key of every type.
    fn table(&self, name: &str) {
        let key = ["--key", "user:string", "--key", "at:integer", "--key", "tag:binary"];
        self.done(&[&["create", name, "--column", "price:double"], &key[..]].concat());
    }

    fn scan(&self, table: &str) -> String {
        self.done(&["scan", table])
    }
}

/// Rows in the order of their keys, in the form that a scan prints: every type, with the values at their ends, a
/// column of several types, an integer where a double is declared, and a row of nothing but its key.
fn rows_of_every_kind() -> String {
    let large = "0123456789abcdef".repeat(1 << 16);
    let key =
        |user: &str, at: i64, tag: &str| format!(r#""user":"{user}","at":{at},"tag":{{"base64":"{tag}"}}"#);
    let mut rows = String::new();
    let mut row = |key: String, rest: &str| writeln!(rows, "{{{key}{rest}}}").unwrap();
    row(key("", i64::MIN, ""), "");
    row(
        key("a", -1, "AA=="),
        r#","bytes":{"base64":"AP/+"},"count":9223372036854775807,"mixed":"text","none":{"base64":""},"price":1.5"#,
    );
    row(key("a", 0, "AAE="), r#","empty":"","mixed":7,"price":{"double":"NaN"},"yes":true"#);
    row(key("a", 0, "AP8="), r#","mixed":7.0,"price":{"double":"inf"},"yes":false"#);
    row(key("b,\\\"\\n", 5, "/w=="), r#","mixed":{"base64":"Nw=="},"price":{"double":"-inf"}"#);
    row(key("é\u{1F980}", i64::MAX, "AA=="), r#","count":-9223372036854775808,"price":{"integer":"3"}"#);
    row(key("é\u{1F980}", i64::MAX, "AQ=="), &format!(r#","large":"{large}","mixed":true,"price":1e+300"#));
    row(key("é\u{1F980}", i64::MAX, "Ag=="), r#","price":-0.0,"small":2.2250738585072014e-308"#);
    rows
}

#[test]
fn every_value_comes_back_from_every_format() {
    let place = Place::open();
    place.table("first");
    let rows = rows_of_every_kind();
    let file = place.write("rows.jsonl", &rows);
    assert_eq!(place.done(&["import", "first", &file]), "wrote 8 rows into table first\n");
    assert!(place.scan("first") == rows, "what was imported is printed as it was written");

    for format in ["jsonl", "csv", "tsv", "parquet"] {
        let file = place.path(&format!("out.{format}"));
        let file = file.to_str().unwrap();
        place.done(&["export", "first", file]);
        let table = format!("from_{format}");
        place.table(&table);
        place.done(&["import", &table, file]);
        assert!(place.scan(&table) == rows, "{format} gives other rows than went into it");
        assert!(!place.path(&format!("out.{format}.part")).exists());
    }
    let heading = std::fs::read_to_string(place.path("out.csv")).unwrap();
    let heading = heading.lines().next().unwrap();
    assert!(
        heading.starts_with("user:string,at:integer,tag:binary,price:integer,price:double,"),
        "{heading}"
    );
    assert!(
        heading.contains("mixed:integer,mixed:double,mixed:boolean,mixed:string,mixed:binary"),
        "{heading}"
    );
}

#[test]
fn many_rows_are_written_in_parallel_and_the_last_of_a_key_stays() {
    let place = Place::open();
    place.done(&["create", "t", "--key", "id:integer"]);
    let mut rows = String::new();
    for version in 0..3 {
        for id in 0..1500 {
            writeln!(rows, r#"{{"id":{id},"version":{version}}}"#).unwrap();
        }
    }
    let file = place.write("rows.jsonl", &rows);
    let said = place.ask(&["import", "t", &file, "--parallel", "7"]);
    assert_eq!((said.code, said.answer.as_str()), (Some(0), "wrote 4,500 rows into table t\n"), "{said:?}");
    assert!(said.notes.contains("% of the file read"), "{}", said.notes);
    let found = place.scan("t");
    assert_eq!(found.lines().count(), 1500);
    assert!(found.lines().all(|line| line.ends_with(r#""version":2}"#)));
}

#[test]
fn an_import_stops_at_a_bad_row_and_goes_on_behind_what_is_written() {
    let place = Place::open();
    place.done(&["create", "t", "--key", "id:integer"]);
    let rows = |bad: &str| format!("{{\"id\":1}}\n\n{{\"id\":2}}\n{bad}\n{{\"id\":4}}\n");
    let file = place.write("rows.jsonl", &rows(r#"{"name":"ann"}"#));
    let said = place.ask(&["import", "t", &file]);
    assert_eq!(said.code, Some(2));
    assert!(said.notes.contains("line 4: it has no `id`"), "{}", said.notes);
    assert!(said.notes.contains("--skip 2") && said.notes.contains("first 2"), "{}", said.notes);
    assert_eq!(place.scan("t").lines().count(), 2);

    place.write("rows.jsonl", &rows(r#"{"id":3,"name":"ann"}"#));
    assert_eq!(place.done(&["import", "t", &file, "--skip", "2"]), "wrote 2 rows into table t\n");
    assert_eq!(place.scan("t").lines().count(), 4);

    // A row that the server refuses is found within its batch.
    place.write("rows.jsonl", &rows(r##"{"id":3,"#name":"ann"}"##));
    let said = place.ask(&["import", "t", &file]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.notes.contains("line 4: OTSParameterInvalid: Invalid column name: '#name'."),
        "{}",
        said.notes
    );
    let said = place.ask(&["import", "t", &file, "--keep-going"]);
    assert_eq!((said.code, said.answer.as_str()), (Some(2), "wrote 3 rows into table t\n"));
    assert!(said.notes.contains("line 4: ") && said.notes.contains("1 row was refused"), "{}", said.notes);
}

#[test]
fn a_csv_of_another_program_is_read_with_guessed_or_given_types() {
    let place = Place::open();
    place.done(&["create", "people", "--key", "id:integer", "--column", "height:double"]);
    let file =
        place.write("people.csv", "id,zip,height,name,note\n1,01234,2,\"Ann, B.\",\n2,99999,1.5,Bob,\"\"\n");
    let said = place.ask(&["import", "people", &file]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.notes.contains("zip string, name string, note string"), "{}", said.notes);
    let expected = "{\"id\":1,\"height\":2.0,\"name\":\"Ann, B.\",\"zip\":\"01234\"}\n\
                    {\"id\":2,\"height\":1.5,\"name\":\"Bob\",\"note\":\"\",\"zip\":\"99999\"}\n";
    assert_eq!(place.scan("people"), expected);
    let words = ["import", "people", &file, "--type", "zip:integer", "--columns", "zip", "--update"];
    place.done(&words);
    assert!(place.scan("people").contains(r#""zip":1234}"#), "--update leaves the other columns");
    assert!(place.scan("people").contains("Ann, B."));
}

#[test]
fn a_file_is_read_from_stdin_and_written_to_stdout() {
    let place = Place::open();
    place.done(&["create", "t", "--key", "id:integer"]);
    let file = place.write("rows.csv", "id;n\n1;5\n2;6\n");
    let mut command = place.command(&["import", "t", "-", "--format", "csv", "--delimiter", ";"]);
    let said = run(command.stdin(Stdio::from(std::fs::File::open(file).unwrap())));
    assert_eq!(said.code, Some(0), "{said:?}");
    let out = place.done(&["export", "t", "-", "--format", "csv"]);
    assert_eq!(out, "id:integer,n:integer\n1,5\n2,6\n");
    let said = place.ask(&["import", "t", "-", "--format", "parquet"]);
    assert!(said.code == Some(2) && said.notes.contains("write it to a file"), "{said:?}");
    let said = place.ask(&["import", "t", "-"]);
    assert!(said.code == Some(2) && said.notes.contains("--format jsonl"), "{said:?}");
}

#[test]
fn a_part_of_a_table_is_exported_and_no_file_is_written_over_unasked() {
    let place = Place::open();
    place.done(&["create", "visits", "--key", "user:string", "--key", "at:integer"]);
    let rows: String = ["ann", "bob", "cid"]
        .iter()
        .flat_map(|user| {
            (-1..=1).map(move |at| format!("{{\"user\":\"{user}\",\"at\":{at},\"a\":1,\"b\":2}}\n"))
        })
        .collect();
    place.done(&["import", "visits", &place.write("rows.jsonl", &rows)]);
    let keys = |words: &[&str]| {
        let printed = place
            .done(&[&["export", "visits", "-", "--format", "csv", "--type", "a:integer"], words].concat());
        printed
            .lines()
            .skip(1)
            .map(|line| line.strip_suffix(",1").unwrap().replace(',', ""))
            .collect::<Vec<_>>()
    };
    let only_a = ["--columns", "a"];
    assert_eq!(keys(&[&only_a[..], &["--from", "bob", "--to", "cid"]].concat()), ["bob-1", "bob0", "bob1"]);
    assert_eq!(keys(&[&only_a[..], &["--only", "cid", "--limit", "2"]].concat()), ["cid-1", "cid0"]);
    let words = ["--from", "bob", "--from", "0", "--to", "ann", "--to", "0", "--backward"];
    assert_eq!(keys(&[&only_a[..], &words].concat()), ["bob0", "bob-1", "ann1"]);

    let said = place.ask(&["export", "visits", "-", "--format", "csv", "--type", "a:integer"]);
    assert_eq!(said.code, Some(2), "column b has no place in the file");
    assert!(said.notes.contains("`b`") && said.notes.contains("--type"), "{}", said.notes);

    let file = place.path("visits.parquet");
    let file = file.to_str().unwrap();
    place.done(&["export", "visits", file]);
    let before = std::fs::read(file).unwrap();
    let said = place.ask(&["export", "visits", file, "--limit", "1"]);
    assert!(said.code == Some(2) && said.notes.contains("--force"), "{said:?}");
    assert!(std::fs::read(file).unwrap() == before);
    place.done(&["export", "visits", file, "--limit", "1", "--force"]);
    assert!(std::fs::read(file).unwrap() != before);
}

#[test]
fn single_rows_are_put_got_updated_and_deleted() {
    let place = Place::open();
    place.table("t");
    let row = r#"{"user":"ann","at":-7,"tag":{"base64":"AP8="},"n":5,"note":"hello"}"#;
    place.done(&["put", "t", row]);
    let key = ["ann", "-7", "AP8="];
    assert_eq!(place.done(&[&["get", "t"], &key[..]].concat()), format!("{row}\n"));
    let said = place.ask(&["put", "t", "--if-missing", row]);
    assert!(said.code == Some(1) && said.notes.contains("is there already"), "{said:?}");

    let change = r#"{"user":"ann","at":-7,"tag":"AP8=","note":null,"paid":true}"#;
    let counted = place.done(&["update", "t", change, "--add", "n=-2", "--if-exists"]);
    assert!(counted.contains(r#""n":3"#), "{counted}");
    let found = place.done(&[&["get", "t"], &key[..]].concat());
    assert_eq!(found, "{\"user\":\"ann\",\"at\":-7,\"tag\":{\"base64\":\"AP8=\"},\"n\":3,\"paid\":true}\n");
    let some = place.done(&[&["get", "t"], &key[..], &["--columns", "paid"]].concat());
    assert!(some.ends_with("\"paid\":true}\n") && !some.contains("\"n\""), "{some}");

    place.done(&[&["delete", "t", "--if-exists"], &key[..]].concat());
    let said = place.ask(&[&["get", "t"], &key[..]].concat());
    assert_eq!((said.code, said.answer.as_str()), (Some(1), ""));
    assert_eq!(place.ask(&[&["delete", "t", "--if-exists"], &key[..]].concat()).code, Some(1));
    let said = place.ask(&["get", "t", "ann"]);
    assert!(said.code == Some(2) && said.notes.contains("user string, at integer, tag binary"), "{said:?}");
    let said = place.ask(&["put", "t", "{id: 7}"]);
    assert!(said.code == Some(2) && said.notes.contains("single quotes"), "{said:?}");
}

#[test]
fn a_table_is_made_with_its_options_and_dropped_only_if_that_is_meant() {
    let place = Place::open();
    let words =
        ["--key", "id:integer", "--keep", "2d", "--versions", "3", "--split-at", "10", "--split-at", "20"];
    let made = place.done(&[&["create", "t", "--stream", "24"], &words[..]].concat());
    assert_eq!(made, "made table t\n");
    let told = place.done(&["describe", "t"]);
    assert!(told.contains("2d00h") && told.contains("24 hours"), "{told}");
    assert_eq!(told.matches("none yet").count(), 3, "three partitions: {told}");
    let said = place.ask(&["create", "u", "--key", "id:integer", "--split-at", "5", "--split-at", "5"]);
    assert!(said.code == Some(2) && said.notes.contains("do not rise"), "{said:?}");
    let said = place.ask(&["create", "u", "--key", "id:auto"]);
    assert!(said.code == Some(2) && said.notes.contains("put another one before it"), "{said:?}");
    assert_eq!(place.ask(&["create", "u", "--key", "id:double"]).code, Some(2));

    let said = place.ask(&["drop", "t"]);
    assert!(said.code == Some(2) && said.notes.contains("lakeferry table drop t --yes"), "{said:?}");
    assert_eq!(place.done(&["list"]), "t\n");
    place.done(&["drop", "t", "--yes"]);
    assert_eq!(place.done(&["list"]), "");
}
