//! What a power cut keeps and what it takes, seen through std's own file calls.
//!
//! The test runs itself once more as the process whose power is cut: with `POWERCUT_PROBE` set, the test
//! `probe` does what the variable names, and kills itself.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use lakeferry_system::files::files_below;
use lakeferry_system::powercut::PowerCut;

/// What a process does before its power is cut, in its data directory.
type Probe = (&'static str, fn(&Path));

const PROBES: [Probe; 12] = [
    ("file_and_name", |data| drop(durable(data, "a", b"kept"))),
    ("bytes_only", |data| sync(&written(data, "a", b"kept"))),
    ("name_only", |data| {
        written(data, "a", b"gone");
        sync_folder(data);
    }),
    ("nothing", |data| drop(written(data, "a", b"gone"))),
    ("appended", |data| {
        let mut file = durable(data, "a", b"kept");
        file.write_all(b" gone").unwrap();
    }),
    ("appended_twice", |data| {
        let mut file = durable(data, "a", b"one");
        file.write_all(b" two").unwrap();
        file.sync_data().unwrap();
        file.write_all(b" three").unwrap();
    }),
    ("overwritten", |data| {
        let file = durable(data, "a", b"0123456789");
        file.write_all_at(b"XX", 2).unwrap();
        file.sync_data().unwrap();
        file.write_all_at(b"YY", 6).unwrap();
    }),
    ("cut_and_grown", |data| {
        let mut file = durable(data, "a", b"0123456789");
        file.set_len(4).unwrap();
        file.set_len(8).unwrap();
        file.seek(SeekFrom::Start(7)).unwrap();
        file.write_all(b"Z").unwrap();
        sync(&file);
    }),
    ("renamed", |data| {
        durable(data, "b", b"old");
        let file = written(data, "b.new", b"new");
        sync(&file);
        fs::rename(data.join("b.new"), data.join("b")).unwrap();
        sync_folder(data);
        fs::rename(data.join("b"), data.join("c")).unwrap();
    }),
    ("removed", |data| {
        durable(data, "a", b"first");
        durable(data, "b", b"second");
        fs::remove_file(data.join("a")).unwrap();
        sync_folder(data);
        fs::remove_file(data.join("b")).unwrap();
        // May get the inode of `b`, whose bytes must not change by that.
        sync(&written(data, "c", b"third"));
    }),
    ("folders", |data| {
        fs::create_dir_all(data.join("seen/deep")).unwrap();
        sync(&written(data, "seen/deep/a", b"kept"));
        sync_folder(&data.join("seen/deep"));
        sync_folder(&data.join("seen"));
        sync_folder(data);
        fs::create_dir(data.join("seen/lost")).unwrap();
        sync(&written(data, "seen/lost/b", b"gone"));
        sync_folder(&data.join("seen/lost"));
    }),
    ("copied", |data| {
        durable(data, "a", &[7; 300_000]);
        fs::copy(data.join("a"), data.join("b")).unwrap();
        sync(&File::open(data.join("b")).unwrap());
        sync_folder(data);
    }),
];

#[test]
fn probe() {
    let Ok(name) = std::env::var("POWERCUT_PROBE") else { return };
    let (_, run) = PROBES.iter().find(|probe| probe.0 == name).unwrap();
    run(Path::new(&std::env::var("POWERCUT_ROOT").unwrap()));
    std::process::abort();
}

#[test]
fn a_synced_file_with_a_synced_name_stays() {
    check("file_and_name", &[("a", "kept")]);
}

#[test]
fn a_synced_file_without_a_synced_name_is_gone() {
    check("bytes_only", &[]);
}

#[test]
fn a_synced_name_without_synced_bytes_is_an_empty_file() {
    check("name_only", &[("a", "")]);
}

#[test]
fn what_was_not_synced_is_gone() {
    check("nothing", &[]);
    check("appended", &[("a", "kept")]);
}

#[test]
fn only_what_came_before_the_last_sync_stays() {
    check("appended_twice", &[("a", "one two")]);
    check("overwritten", &[("a", "01XX456789")]);
    check("cut_and_grown", &[("a", "0123\0\0\0Z")]);
}

#[test]
fn a_rename_that_was_not_synced_has_not_happened() {
    check("renamed", &[("b", "new")]);
}

#[test]
fn a_removal_that_was_not_synced_has_not_happened() {
    check("removed", &[("b", "second")]);
}

#[test]
fn a_folder_without_a_synced_name_is_gone_with_all_that_is_in_it() {
    check("folders", &[("seen/deep/a", "kept")]);
}

#[test]
fn bytes_copied_by_the_kernel_are_followed() {
    let (_folder, data) = cut("copied", &[]);
    assert_eq!(fs::read(data.join("b")).unwrap(), [7; 300_000]);
}

#[test]
fn the_concession_keeps_the_names_above_a_synced_file() {
    let (_folder, data) = cut("folders", &["seen"]);
    assert_eq!(content(&data), pairs(&[("seen/deep/a", "kept"), ("seen/lost/b", "gone")]));
}

#[test]
fn a_second_life_begins_with_what_the_first_one_left() {
    let (folder, data) = cut("file_and_name", &[]);
    fs::set_permissions(data.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    let power = PowerCut::new(&source(), folder.path(), &data, &[]).unwrap();
    run("removed", &power);
    power.cut().unwrap();
    assert_eq!(content(&data), pairs(&[("b", "second")]));
    run("file_and_name", &power);
    power.cut().unwrap();
    assert_eq!(content(&data), pairs(&[("a", "kept"), ("b", "second")]));
}

fn check(probe: &str, expected: &[(&str, &str)]) {
    let (_folder, data) = cut(probe, &[]);
    assert_eq!(content(&data), pairs(expected), "{probe}");
}

/// Runs the probe in a fresh data directory and cuts its power.
fn cut(probe: &str, journaled: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap().join("data");
    fs::create_dir(&data).unwrap();
    let power = PowerCut::new(&source(), folder.path(), &data, journaled).unwrap();
    run(probe, &power);
    power.cut().unwrap();
    (folder, data)
}

fn run(probe: &str, power: &PowerCut) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "power_cut_model::probe", "--nocapture"])
        .env("POWERCUT_PROBE", probe)
        .envs(power.environment())
        .output()
        .unwrap()
        .status;
    assert!(!status.success() && status.code().is_none(), "the probe `{probe}` ends by a signal: {status}");
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../powercut/powercut.c")
}

fn content(data: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for path in files_below(data) {
        let mut text = String::new();
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        all.push((path.strip_prefix(data).unwrap().display().to_string(), text));
    }
    all
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn written(data: &Path, name: &str, bytes: &[u8]) -> File {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(data.join(name)).unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn durable(data: &Path, name: &str, bytes: &[u8]) -> File {
    let file = written(data, name, bytes);
    sync(&file);
    sync_folder(data);
    file
}

fn sync(file: &File) {
    file.sync_all().unwrap();
}

fn sync_folder(folder: &Path) {
    sync(&File::open(folder).unwrap());
}
