//! What the full disk library does to a program that knows nothing of it.

use std::fs;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::process::Command;

use lakeferry_system::full_disk::{FullDisk, Fullness};
use tempfile::TempDir;

/// A disk of its own, in `disk`, and programs that run on it.
struct Fixture {
    folder: TempDir,
    disk: FullDisk,
    environment: Vec<(&'static str, String)>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("disk");
        fs::create_dir(&root).unwrap();
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fulldisk/fulldisk.c");
        let disk = FullDisk::of(folder.path());
        let environment = disk.environment(&source, folder.path(), &root).unwrap();
        Self { folder, disk, environment }
    }

    fn does(&self, line: &str) -> bool {
        self.succeeds(Command::new("sh").args(["-c", line]))
    }

    fn says_free(&self) -> bool {
        let probe = ["--exact", "full_disk_model::asks_for_free_space"];
        self.succeeds(Command::new(std::env::current_exe().unwrap()).args(probe).env("FULLDISK_PROBE", "1"))
    }

    fn succeeds(&self, command: &mut Command) -> bool {
        command.current_dir(self.folder.path().join("disk")).envs(self.environment.iter().cloned());
        command.output().unwrap().status.success()
    }
}

#[test]
fn a_full_disk_takes_nothing_and_what_needs_no_room_goes_on() {
    let fixture = Fixture::new();
    let elsewhere = fixture.folder.path().join("elsewhere").display().to_string();
    assert!(fixture.does("echo before > a && echo before > b"));
    for how in [Fullness::Full, Fullness::Sudden] {
        fixture.disk.fill(how).unwrap();
        assert!(!fixture.does("echo more >> a"), "{how}");
        assert!(!fixture.does("echo new > c"), "{how}");
        assert!(!fixture.does("mkdir d"), "{how}");
        assert!(fixture.does(&format!("grep -q before a && echo elsewhere > {elsewhere}")), "{how}");
    }
    assert!(fixture.does("mv a f && rm b"));
    fixture.disk.free();
    assert!(fixture.does("echo more >> f && mkdir d"));
}

#[test]
fn only_a_disk_that_says_so_has_nothing_free() {
    let fixture = Fixture::new();
    assert!(fixture.says_free());
    for (how, expected) in [(Fullness::Reserve, false), (Fullness::Full, false), (Fullness::Sudden, true)] {
        fixture.disk.fill(how).unwrap();
        assert_eq!(fixture.says_free(), expected, "{how}");
    }
    fixture.disk.fill(Fullness::Reserve).unwrap();
    assert!(fixture.does("echo still > a"), "writes go on as long as there is a reserve");
}

/// Not a test of its own: the process that [`Fixture::says_free`] starts.
#[test]
#[expect(unsafe_code, reason = "std has no call for free space")]
fn asks_for_free_space() {
    if std::env::var_os("FULLDISK_PROBE").is_none() {
        return;
    }
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero byte, and `answer` has room for the struct.
    assert_eq!(unsafe { libc::statvfs(c".".as_ptr(), answer.as_mut_ptr()) }, 0);
    // SAFETY: the call succeeded, so it has filled the struct.
    let answer = unsafe { answer.assume_init() };
    assert_ne!(answer.f_bavail, 0, "nothing is free");
}
