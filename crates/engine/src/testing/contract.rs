//! The contract suite: what every engine promises, as tests over the seam.
//!
//! [`engine_contract!`](crate::engine_contract) makes a test of each, on a home of the caller's.
#![expect(missing_docs, reason = "each name is the promise that the function proves")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Home, collect, soon};
use crate::seam::{Area, Batch, Engine, Error, Scan, Space, SpaceId, WriteError};

/// Makes a test of each promise; `$home` is evaluated in each and gives a fresh [`Home`].
#[macro_export]
macro_rules! engine_contract {
    ($home:expr) => {
        $crate::engine_contract! { $home =>
            what_is_written_is_read_back
            of_two_changes_of_one_key_the_later_stays
            an_empty_batch_is_written
            a_large_value_is_written
            a_scan_keeps_to_its_bounds
            a_scan_says_whether_there_is_more
            a_visit_hands_over_what_a_scan_reads
            a_visitor_ends_the_visit
            long_scans_and_visits_end_where_they_are_told_to
            a_visitors_panic_is_the_callers
            blocks_follow_each_other_in_both_directions
            a_log_is_read_in_order_in_both_directions
            a_log_entry_is_read_by_its_key
            a_batch_is_seen_whole_or_not_at_all
            batches_of_one_caller_are_applied_in_order
            many_callers_write_at_once
            spaces_do_not_see_each_other
            spaces_are_listed_in_order
            a_dropped_space_is_gone
            a_space_made_again_has_nothing_of_the_old_one
            lives_of_a_space_do_not_mix_over_crashes
            lives_of_a_space_do_not_mix_over_closings
            a_trim_keeps_what_is_not_below_it
            a_log_goes_on_after_it_was_trimmed_to_its_end
            trimmed_bytes_leave_the_log
            everything_answered_is_there_after_a_close
            everything_answered_is_there_after_a_crash
            a_closed_engine_refuses_everything
            a_write_at_a_closing_ends_as_it_is_answered
            a_call_past_its_deadline_ends
        }
    };
    ($home:expr => $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                $crate::testing::contract::$promise(&$home).await;
            }
        )*
    };
}

async fn open(home: &dyn Home) -> (Arc<dyn Engine>, Arc<dyn Space>) {
    let engine = home.open().await;
    let space = space_of(&*engine, "s").await;
    (engine, space)
}

async fn space_of(engine: &dyn Engine, id: &'static str) -> Arc<dyn Space> {
    engine.open_space(&SpaceId::new(id), soon()).await.unwrap()
}

/// A batch from text: `k=v` puts, `-k` deletes, `+k=v` appends.
fn batch(text: &str) -> Batch {
    let mut batch = Batch::default();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let value = value.to_owned();
        if let Some(key) = key.strip_prefix('-') {
            batch.delete(key.to_owned());
        } else if let Some(key) = key.strip_prefix('+') {
            batch.append(key.to_owned(), value);
        } else {
            batch.put(key.to_owned(), value);
        }
    }
    batch
}

async fn write(space: &dyn Space, text: &str) {
    space.write(batch(text), soon()).await.unwrap();
}

/// An area as text: `k=v` of every entry from `from` on.
async fn text(space: &dyn Space, area: Area, from: &str) -> String {
    let entries = collect(space, area, from.as_bytes(), None, false, 7).await.unwrap();
    show(&entries)
}

fn show(entries: &[(Bytes, Bytes)]) -> String {
    let show = |(key, value): &(Bytes, Bytes)| {
        format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value))
    };
    entries.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn log_key(number: u64) -> Bytes {
    format!("{number:08}").into()
}

/// Appends entries of these numbers, of a kilobyte each.
async fn append(space: &dyn Space, numbers: std::ops::Range<u64>) {
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(50) {
        let mut batch = Batch::default();
        for number in some {
            batch.append(log_key(*number), vec![b'x'; 1024]);
        }
        space.write(batch, soon()).await.unwrap();
    }
}

async fn log_numbers(space: &dyn Space, from: u64, to: Option<u64>, backward: bool) -> Vec<u64> {
    let to = to.map(log_key);
    let entries = collect(space, Area::Log, &log_key(from), to.as_deref(), backward, 33).await.unwrap();
    entries.iter().map(|(key, _)| String::from_utf8_lossy(key).parse().unwrap()).collect()
}

pub async fn what_is_written_is_read_back(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    write(&*space, "a=1 c=3 +l=9").await;
    let read = |area, keys: &[&'static str]| {
        let keys = keys.iter().map(|key| Bytes::from(*key)).collect();
        space.read(area, keys, soon())
    };
    let values = read(Area::Table, &["c", "b", "a", "c"]).await.unwrap();
    assert_eq!(values, [Some("3".into()), None, Some("1".into()), Some("3".into())]);
    assert_eq!(read(Area::Log, &["a", "l"]).await.unwrap(), [None, Some("9".into())]);
    assert_eq!(read(Area::Table, &[]).await.unwrap(), []);
}

pub async fn of_two_changes_of_one_key_the_later_stays(home: &dyn Home) {
    let (engine, space) = open(home).await;
    write(&*space, "a=1 -a a=2 b=1 -b -c c=1 d=1").await;
    assert_eq!(text(&*space, Area::Table, "").await, "a=2 c=1 d=1");
    write(&*space, "d=2 -c -missing").await;
    assert_eq!(text(&*space, Area::Table, "").await, "a=2 d=2");
    drop(space);
    engine.close(soon()).await.unwrap();
    drop(engine);
    let (_engine, space) = open(home).await;
    assert_eq!(text(&*space, Area::Table, "").await, "a=2 d=2");
}

pub async fn an_empty_batch_is_written(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    write(&*space, "").await;
    assert_eq!(text(&*space, Area::Table, "").await, "");
}

pub async fn a_large_value_is_written(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    let value = Bytes::from(vec![7; 20 << 20]);
    let mut batch = Batch::default();
    batch.put("large", value.clone());
    batch.put("small", "1");
    space.write(batch, soon()).await.unwrap();
    let read = space.read(Area::Table, vec!["small".into(), "large".into()], soon()).await.unwrap();
    assert_eq!(read[0].as_deref(), Some(&b"1"[..]));
    assert!(read[1].as_ref() == Some(&value), "the large value is not the same");
}

pub async fn a_scan_keeps_to_its_bounds(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    write(&*space, "a=1 b=2 c=3 d=4").await;
    for backward in [false, true] {
        let scan = async |from: &str, to: Option<&str>| {
            let to = to.map(str::as_bytes);
            let mut entries = collect(&*space, Area::Table, from.as_bytes(), to, backward, 2).await.unwrap();
            if backward {
                entries.reverse();
            }
            show(&entries)
        };
        assert_eq!(scan("", None).await, "a=1 b=2 c=3 d=4");
        assert_eq!(scan("b", Some("d")).await, "b=2 c=3");
        assert_eq!(scan("bb", Some("cc")).await, "c=3");
        assert_eq!(scan("b", Some("b")).await, "");
        assert_eq!(scan("d", Some("b")).await, "");
        assert_eq!(scan("e", None).await, "");
    }
}

pub async fn a_scan_says_whether_there_is_more(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    write(&*space, "a=11111 b=22222 c=33333").await;
    let scan = async |entries_max: usize, bytes_max: usize, to: Option<&'static str>| {
        let to = to.map(Bytes::from);
        let scan =
            Scan { area: Area::Table, from: Bytes::new(), to, backward: false, entries_max, bytes_max };
        let block = space.scan(scan, soon()).await.unwrap();
        (block.len(), block.more)
    };
    assert_eq!(scan(2, 1_000, None).await, (2, true));
    assert_eq!(scan(3, 1_000, None).await, (3, false));
    assert_eq!(scan(2, 1_000, Some("c")).await, (2, false));
    assert_eq!(scan(9, 0, None).await, (1, true));
    assert_eq!(scan(9, 6, None).await, (1, true));
    assert_eq!(scan(9, 7, None).await, (2, true));
    assert_eq!(scan(9, 13, None).await, (3, false));
    assert_eq!(scan(0, 1_000, None).await, (0, true));
}

pub async fn a_visit_hands_over_what_a_scan_reads(home: &dyn Home) {
    let (engine, space) = open(home).await;
    write(&*space, "a=1 b=2 c=3 d=4").await;
    append(&*space, 0..10).await;
    for (area, from, entries_max, backward) in [
        (Area::Table, "b", 2, false),
        (Area::Table, "", 9, true),
        (Area::Log, "", 4, false),
        (Area::Table, "e", 9, false),
    ] {
        let scan = Scan { area, from: from.into(), to: None, backward, entries_max, bytes_max: 1_000 };
        let expected = space.scan(scan.clone(), soon()).await.unwrap();
        let (visited, more) = visit(&space, scan, usize::MAX).await.unwrap();
        assert!(visited.iter().map(|(key, value)| (&key[..], &value[..])).eq(expected.iter()));
        assert_eq!(more, expected.more);
    }
    engine.drop_space(space.id(), soon()).await.unwrap();
    let gone = visit(&space, whole_table(), usize::MAX).await;
    assert!(matches!(gone, Err(Error::SpaceGone(_))), "{gone:?}");
}

pub async fn a_visitor_ends_the_visit(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    write(&*space, "a=1 b=2 c=3 d=4").await;
    let (visited, more) = visit(&space, whole_table(), 3).await.unwrap();
    assert_eq!((visited.len(), more), (3, true));
    assert_eq!(visited[2].0, "c");
}

pub async fn long_scans_and_visits_end_where_they_are_told_to(home: &dyn Home) {
    let (engine, space) = open(home).await;
    // Engines read ahead by some entries or bytes: so there are many small entries, and large ones amid them.
    let large = [40, 41, 64, 99];
    let value = |number: u64| vec![b'x'; if large.contains(&number) { 20 << 10 } else { 9 }];
    let model: Vec<(Bytes, Bytes)> = (0..100).map(|number| (log_key(number), value(number).into())).collect();
    let mut batch = Batch::default();
    for (key, value) in &model {
        batch.put(key.clone(), value.clone());
        batch.append(key.clone(), value.clone());
    }
    space.write(batch, soon()).await.unwrap();
    check_long_reads(&space, &model).await;
    drop(space);
    engine.close(soon()).await.unwrap();
    drop(engine);
    let (_engine, space) = open(home).await;
    check_long_reads(&space, &model).await;
}

/// Scans and visits with limits about where engines read ahead, against all entries of an area.
async fn check_long_reads(space: &Arc<dyn Space>, all: &[(Bytes, Bytes)]) {
    const ENTRIES_MAX: [usize; 6] = [31, 32, 33, 64, 65, 1_000];
    const BYTES_MAX: [usize; 5] = [31 * 17, 33 * 17, 16 << 10, (16 << 10) + 1, 1 << 20];
    const BREAKS_AT: [usize; 6] = [1, 31, 32, 33, 64, usize::MAX];
    for area in [Area::Table, Area::Log] {
        for (from, to, backward) in [
            (0, 100, false),
            (0, 100, true),
            (0, 33, false),
            (0, 33, true),
            (8, 72, false),
            (9, 73, true),
            (40, 100, false),
        ] {
            let mut range = all[from..to].to_vec();
            if backward {
                range.reverse();
            }
            for (entries_max, bytes_max) in
                ENTRIES_MAX.into_iter().flat_map(|entries| BYTES_MAX.map(|bytes| (entries, bytes)))
            {
                let to = all.get(to).map(|(key, _)| key.clone());
                let scan = Scan { area, from: all[from].0.clone(), to, backward, entries_max, bytes_max };
                let expected = within(&range, &scan);
                let block = space.scan(scan.clone(), soon()).await.unwrap();
                assert!(is_same(block.iter(), expected), "{scan:?}");
                assert_eq!(block.more, expected.len() < range.len(), "{scan:?}");
                for breaks_at in BREAKS_AT {
                    let (visited, more) = visit(space, scan.clone(), breaks_at).await.unwrap();
                    let visited = visited.iter().map(|(key, value)| (&key[..], &value[..]));
                    let expected = &expected[..breaks_at.min(expected.len())];
                    assert!(is_same(visited, expected), "{scan:?}, ended at {breaks_at}");
                    // One that ends a visit is not told whether there is more.
                    let is_ended = expected.len() == breaks_at;
                    assert_eq!(more, is_ended || expected.len() < range.len(), "{scan:?}, {breaks_at}");
                }
            }
        }
    }
}

/// Of the entries of a range, those that a scan reads.
fn within<'a>(range: &'a [(Bytes, Bytes)], scan: &Scan) -> &'a [(Bytes, Bytes)] {
    let mut bytes = 0;
    let is_read = |(key, value): &&(Bytes, Bytes)| {
        let is_read = bytes < scan.bytes_max;
        bytes += key.len() + value.len();
        is_read
    };
    &range[..range.iter().take(scan.entries_max).take_while(is_read).count()]
}

fn is_same<'a>(read: impl Iterator<Item = (&'a [u8], &'a [u8])>, expected: &'a [(Bytes, Bytes)]) -> bool {
    read.eq(expected.iter().map(|(key, value)| (&key[..], &value[..])))
}

pub async fn a_visitors_panic_is_the_callers(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    write(&*space, "a=1").await;
    let visitor = Arc::clone(&space);
    let visited = tokio::task::spawn_blocking(move || {
        visitor.visit(whole_table(), soon(), &mut |_, _| panic!("the visitor is broken"))
    });
    assert!(visited.await.unwrap_err().is_panic());
    let (visited, _) = visit(&space, whole_table(), usize::MAX).await.unwrap();
    assert_eq!(visited.len(), 1);
}

fn whole_table() -> Scan {
    let (from, to) = (Bytes::new(), None);
    Scan { area: Area::Table, from, to, backward: false, entries_max: 9, bytes_max: 1_000 }
}

/// The entries that are visited, at most `count`, and whether there may be more.
async fn visit(
    space: &Arc<dyn Space>,
    scan: Scan,
    count: usize,
) -> Result<(Vec<(Bytes, Bytes)>, bool), Error> {
    let space = Arc::clone(space);
    let visit = move || {
        let mut visited = Vec::new();
        let more = space.visit(scan, soon(), &mut |key, value| {
            visited.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            if visited.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok((visited, more))
    };
    tokio::task::spawn_blocking(visit).await.unwrap()
}

pub async fn blocks_follow_each_other_in_both_directions(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    let words: Vec<String> = (0..500).map(|number| format!("{number:03}={number}")).collect();
    write(&*space, &words.join(" ")).await;
    for entries_max in [1, 7, 500, 1_000] {
        let forward = collect(&*space, Area::Table, b"", None, false, entries_max).await.unwrap();
        assert_eq!(show(&forward), words.join(" "));
        let mut backward = collect(&*space, Area::Table, b"", None, true, entries_max).await.unwrap();
        backward.reverse();
        assert_eq!(backward, forward);
    }
}

pub async fn a_log_is_read_in_order_in_both_directions(home: &dyn Home) {
    let (engine, space) = open(home).await;
    append(&*space, 0..1_000).await;
    let check = async |space: &dyn Space| {
        assert_eq!(log_numbers(space, 0, None, false).await, (0..1_000).collect::<Vec<_>>());
        assert_eq!(log_numbers(space, 0, None, true).await, (0..1_000).rev().collect::<Vec<_>>());
        assert_eq!(log_numbers(space, 333, Some(666), false).await, (333..666).collect::<Vec<_>>());
        assert_eq!(log_numbers(space, 333, Some(666), true).await, (333..666).rev().collect::<Vec<_>>());
        assert_eq!(log_numbers(space, 1_000, None, false).await, [] as [u64; 0]);
    };
    check(&*space).await;
    drop(space);
    engine.close(soon()).await.unwrap();
    drop(engine);
    let (_engine, space) = open(home).await;
    check(&*space).await;
    append(&*space, 1_000..1_200).await;
    assert_eq!(log_numbers(&*space, 900, None, false).await, (900..1_200).collect::<Vec<_>>());
}

pub async fn a_log_entry_is_read_by_its_key(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    append(&*space, 10..600).await;
    let keys = [9, 10, 300, 599, 600].map(log_key).to_vec();
    let found: Vec<bool> =
        space.read(Area::Log, keys, soon()).await.unwrap().iter().map(Option::is_some).collect();
    assert_eq!(found, [false, true, true, true, false]);
}

pub async fn a_batch_is_seen_whole_or_not_at_all(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    let number_all = |number: u64| {
        let mut batch = Batch::default();
        for key in 0..300 {
            batch.put(format!("{key:03}"), number.to_string());
        }
        batch.append(log_key(number), number.to_string());
        batch
    };
    space.write(number_all(0), soon()).await.unwrap();
    let writer = tokio::spawn({
        let space = Arc::clone(&space);
        async move {
            for number in 1..200 {
                space.write(number_all(number), soon()).await.unwrap();
            }
        }
    });
    let mut seen = 0;
    while !writer.is_finished() {
        let scan = Scan {
            area: Area::Table,
            from: Bytes::new(),
            to: None,
            backward: false,
            entries_max: 1_000,
            bytes_max: 1 << 20,
        };
        let block = space.scan(scan, soon()).await.unwrap();
        assert_eq!(block.len(), 300);
        let number = block.entry(0).1;
        assert!(block.iter().all(|(_, value)| value == number), "a block holds parts of two batches");
        let keys = vec!["000".into(), "150".into(), "299".into()];
        let values = space.read(Area::Table, keys, soon()).await.unwrap();
        assert!(values.iter().all(|value| *value == values[0]), "a read sees parts of two batches");
        // What was seen of the table is in the log too, and nothing is ever taken back.
        let number: u64 = std::str::from_utf8(number).unwrap().parse().unwrap();
        assert!(number >= seen, "an older state came back");
        seen = number;
        let logged = space.read(Area::Log, vec![log_key(number)], soon()).await.unwrap();
        assert!(logged[0].is_some(), "the log lacks what the table has");
    }
    writer.await.unwrap();
}

pub async fn batches_of_one_caller_are_applied_in_order(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    for number in 0..100 {
        write(&*space, &format!("a={number} +{number:03}=x")).await;
        assert_eq!(text(&*space, Area::Table, "").await, format!("a={number}"));
    }
    assert_eq!(collect(&*space, Area::Log, b"", None, false, 9).await.unwrap().len(), 100);
}

pub async fn many_callers_write_at_once(home: &dyn Home) {
    let engine = home.open().await;
    let mut callers = JoinSet::new();
    for caller in 0..20 {
        let id = SpaceId::new(format!("s-{}", caller % 5));
        let space = engine.open_space(&id, soon()).await.unwrap();
        callers.spawn(async move {
            for number in 0..25 {
                write(&*space, &format!("{caller:02}-{number:02}=x")).await;
            }
        });
    }
    callers.join_all().await;
    for at in 0..5 {
        let space = engine.open_space(&SpaceId::new(format!("s-{at}")), soon()).await.unwrap();
        assert_eq!(collect(&*space, Area::Table, b"", None, false, 9).await.unwrap().len(), 100);
    }
}

pub async fn spaces_do_not_see_each_other(home: &dyn Home) {
    let (engine, one) = open(home).await;
    let other = space_of(&*engine, "s-2").await;
    write(&*one, "a=1 +l=1").await;
    write(&*other, "a=2 b=2 +l=2").await;
    assert_eq!(text(&*one, Area::Table, "").await, "a=1");
    assert_eq!(text(&*one, Area::Log, "").await, "l=1");
    assert_eq!(text(&*other, Area::Table, "").await, "a=2 b=2");
    assert_eq!(one.id().as_str(), "s");
}

pub async fn spaces_are_listed_in_order(home: &dyn Home) {
    let engine = home.open().await;
    for id in ["b", "a-2", "c", "a"] {
        drop(engine.open_space(&SpaceId::new(id), soon()).await.unwrap());
    }
    engine.drop_space(&SpaceId::new("b"), soon()).await.unwrap();
    let expected = ["a", "a-2", "c"].map(SpaceId::new);
    assert_eq!(engine.spaces(soon()).await.unwrap(), expected);
    engine.close(soon()).await.unwrap();
    drop(engine);
    let engine = home.open().await;
    assert_eq!(engine.spaces(soon()).await.unwrap(), expected, "a space without entries is a space too");
}

pub async fn a_dropped_space_is_gone(home: &dyn Home) {
    let (engine, space) = open(home).await;
    write(&*space, "a=1 +l=1").await;
    engine.drop_space(space.id(), soon()).await.unwrap();
    engine.drop_space(space.id(), soon()).await.unwrap();
    // Also when there is a space of that name again.
    for _ in 0..2 {
        let is_gone = |error: &Error| matches!(error, Error::SpaceGone(id) if id == space.id());
        assert!(is_gone(&space.read(Area::Table, vec!["a".into()], soon()).await.unwrap_err()));
        assert!(is_gone(&collect(&*space, Area::Log, b"", None, false, 1).await.unwrap_err()));
        assert!(is_gone(&space.trim("x".into(), soon()).await.unwrap_err()));
        assert!(is_gone(&space.log_bytes(soon()).await.unwrap_err()));
        match space.write(batch("a=1"), soon()).await {
            Err(WriteError::NotWritten(error)) => assert!(is_gone(&error)),
            other => panic!("the write ended as {other:?}"),
        }
        space_of(&*engine, "s").await;
    }
}

pub async fn a_space_made_again_has_nothing_of_the_old_one(home: &dyn Home) {
    let (engine, space) = open(home).await;
    write(&*space, "a=1").await;
    append(&*space, 0..600).await;
    space.trim(log_key(300), soon()).await.unwrap();
    engine.drop_space(space.id(), soon()).await.unwrap();
    let space = space_of(&*engine, "s").await;
    assert_eq!(text(&*space, Area::Table, "").await, "");
    assert_eq!(text(&*space, Area::Log, "").await, "");
    write(&*space, "b=1 +l=1").await;
    drop((engine, space));
    let (_engine, space) = open(home).await;
    assert_eq!(text(&*space, Area::Table, "").await, "b=1");
    assert_eq!(text(&*space, Area::Log, "").await, "l=1");
}

pub async fn lives_of_a_space_do_not_mix_over_crashes(home: &dyn Home) {
    lives_do_not_mix(home, false).await;
}

pub async fn lives_of_a_space_do_not_mix_over_closings(home: &dyn Home) {
    lives_do_not_mix(home, true).await;
}

/// Between two starts, spaces come and go after the last write, and one is made last; after the second start it is
/// written to, dropped, made again and written to. An engine that numbers such changes must not number the later
/// ones below the earlier ones, or a dropped life comes back, or a new one is taken for dropped.
async fn lives_do_not_mix(home: &dyn Home, closes: bool) {
    let mut kept: Vec<String> = Vec::new();
    for round in 0..6 {
        let name = format!("kept-{round}");
        let engine = home.open().await;
        check_kept(&*engine, &kept).await;
        for number in 0..12 {
            let id = SpaceId::new(format!("short-{number}"));
            engine.open_space(&id, soon()).await.unwrap();
            engine.drop_space(&id, soon()).await.unwrap();
        }
        let id = SpaceId::new(name.clone());
        // Whether the last change is a making or a dropping.
        if round % 2 == 0 {
            engine.open_space(&id, soon()).await.unwrap();
        }
        if closes {
            engine.close(soon()).await.unwrap();
        }
        drop(engine);

        let engine = home.open().await;
        check_kept(&*engine, &kept).await;
        let old = engine.open_space(&id, soon()).await.unwrap();
        write(&*old, "old=x +old=x").await;
        engine.drop_space(&id, soon()).await.unwrap();
        let new = engine.open_space(&id, soon()).await.unwrap();
        write(&*new, &format!("{name}=x +{name}=x")).await;
        kept.push(name);
        if closes {
            engine.close(soon()).await.unwrap();
        }
    }
    check_kept(&*home.open().await, &kept).await;
}

/// Checks that each space holds its own name, and nothing else.
async fn check_kept(engine: &dyn Engine, names: &[String]) {
    for name in names {
        let space = engine.open_space(&SpaceId::new(name.clone()), soon()).await.unwrap();
        for area in [Area::Table, Area::Log] {
            assert_eq!(text(&*space, area, "").await, format!("{name}=x"), "{area:?} of {}", names.len());
        }
    }
}

pub async fn a_trim_keeps_what_is_not_below_it(home: &dyn Home) {
    let (engine, space) = open(home).await;
    write(&*space, "a=1").await;
    append(&*space, 0..1_000).await;
    for below in [0, 1, 500, 500, 200, 999] {
        space.trim(log_key(below), soon()).await.unwrap();
        let kept = below.max(if below == 200 { 500 } else { 0 });
        assert_eq!(log_numbers(&*space, kept, None, false).await, (kept..1_000).collect::<Vec<_>>());
    }
    assert_eq!(text(&*space, Area::Table, "").await, "a=1");
    drop((engine, space));
    let (_engine, space) = open(home).await;
    assert_eq!(log_numbers(&*space, 999, None, true).await, [999]);
}

pub async fn a_log_goes_on_after_it_was_trimmed_to_its_end(home: &dyn Home) {
    let (engine, space) = open(home).await;
    space.trim(log_key(5), soon()).await.unwrap();
    for round in 0..5 {
        append(&*space, round * 300..(round + 1) * 300).await;
        let end = (round + 1) * 300;
        assert_eq!(log_numbers(&*space, end - 10, None, false).await, (end - 10..end).collect::<Vec<_>>());
        space.trim(log_key(end), soon()).await.unwrap();
        assert_eq!(log_numbers(&*space, end, None, false).await, [] as [u64; 0]);
    }
    append(&*space, 1_500..1_501).await;
    drop((engine, space));
    let (_engine, space) = open(home).await;
    assert_eq!(log_numbers(&*space, 1_500, None, false).await, [1_500]);
}

pub async fn trimmed_bytes_leave_the_log(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    assert_eq!(space.log_bytes(soon()).await.unwrap(), 0);
    append(&*space, 0..2_000).await;
    let full = space.log_bytes(soon()).await.unwrap();
    assert!(full >= 2_000 * 1_024, "{full}");
    space.trim(log_key(2_000), soon()).await.unwrap();
    let until = soon();
    while space.log_bytes(soon()).await.unwrap() > full / 10 {
        assert!(Instant::now() < until, "the trimmed bytes are still there after a minute");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn everything_answered_is_there_after_a_close(home: &dyn Home) {
    let (engine, space) = open(home).await;
    for round in 0..3 {
        write(&*space, &format!("round-{round}=x again={round} +{round}=x")).await;
    }
    engine.close(soon()).await.unwrap();
    drop((engine, space));
    let (engine, space) = open(home).await;
    assert_eq!(text(&*space, Area::Table, "").await, "again=2 round-0=x round-1=x round-2=x");
    assert_eq!(text(&*space, Area::Log, "").await, "0=x 1=x 2=x");
    // What is written after shadows what was there before.
    write(&*space, "again=3 -round-0").await;
    drop((engine, space));
    let (_engine, space) = open(home).await;
    assert_eq!(text(&*space, Area::Table, "").await, "again=3 round-1=x round-2=x");
}

pub async fn everything_answered_is_there_after_a_crash(home: &dyn Home) {
    for round in 0..4 {
        let (_engine, space) = open(home).await;
        let entries = collect(&*space, Area::Table, b"", None, false, 100).await.unwrap();
        assert_eq!(entries.len(), round * 20);
        assert_eq!(collect(&*space, Area::Log, b"", None, false, 100).await.unwrap().len(), round * 20);
        for number in 0..20 {
            write(&*space, &format!("{round}-{number:02}=x +{round}-{number:02}=x")).await;
        }
        // Dropped without a close.
    }
}

pub async fn a_closed_engine_refuses_everything(home: &dyn Home) {
    let (engine, space) = open(home).await;
    write(&*space, "a=1").await;
    engine.close(soon()).await.unwrap();
    engine.close(soon()).await.unwrap();
    let refuses = |error: Option<Error>| matches!(error, Some(Error::Unavailable(_)));
    assert!(refuses(engine.open_space(space.id(), soon()).await.err()));
    assert!(refuses(engine.spaces(soon()).await.err()));
    assert!(refuses(engine.drop_space(space.id(), soon()).await.err()));
    assert!(refuses(space.read(Area::Table, vec!["a".into()], soon()).await.err()));
    assert!(refuses(space.trim("a".into(), soon()).await.err()));
    let written = space.write(batch("b=1"), soon()).await;
    assert!(matches!(written, Err(WriteError::NotWritten(Error::Unavailable(_)))), "{written:?}");
    drop((engine, space));
    let (_engine, space) = open(home).await;
    assert_eq!(text(&*space, Area::Table, "").await, "a=1");
}

pub async fn a_write_at_a_closing_ends_as_it_is_answered(home: &dyn Home) {
    let (engine, space) = open(home).await;
    let mut writes = JoinSet::new();
    for number in 0..200 {
        let space = Arc::clone(&space);
        writes.spawn(async move { (number, space.write(batch(&format!("{number:03}=x")), soon()).await) });
        if number == 100 {
            tokio::task::yield_now().await;
        }
    }
    engine.close(soon()).await.unwrap();
    let outcomes = writes.join_all().await;
    drop((engine, space));
    let (_engine, space) = open(home).await;
    for (number, outcome) in outcomes {
        let key = Bytes::from(format!("{number:03}"));
        let is_there = space.read(Area::Table, vec![key], soon()).await.unwrap()[0].is_some();
        match outcome {
            Ok(()) => assert!(is_there, "write {number} was answered and is not there"),
            Err(WriteError::NotWritten(_)) => assert!(!is_there, "write {number} was refused and is there"),
            Err(WriteError::Unknown(_)) => {}
        }
    }
}

pub async fn a_call_past_its_deadline_ends(home: &dyn Home) {
    let (_engine, space) = open(home).await;
    let past = Instant::now();
    for number in 0..50 {
        let key = Bytes::from(format!("{number}"));
        let outcome = space.write(batch(&format!("{number}=x")), past).await;
        let is_there = space.read(Area::Table, vec![key.clone()], soon()).await.unwrap()[0].is_some();
        match outcome {
            Ok(()) => assert!(is_there),
            Err(WriteError::NotWritten(_)) => assert!(!is_there, "it was given up, and done all the same"),
            Err(WriteError::Unknown(_)) => {}
        }
        let read = space.read(Area::Table, vec![key], past).await;
        assert!(matches!(read, Ok(_) | Err(Error::Deadline)), "{read:?}");
    }
}
