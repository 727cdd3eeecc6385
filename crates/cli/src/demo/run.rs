//! The demo under way: samples in, objects out, and a line on how far it is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_model::delivery::{Destination, Mode, Phase, SchemaSpec, TaskSpec, TaskStatus, Tuning};
use lakeferry_model::{Clock, Micros, RoleEntry};
use serde_json::{Map, json};
use tokio::time::{MissedTickBehavior, interval};

use super::check::State;
use super::lake::{self, DeliveredObject};
use super::metrics::Sampler;
use super::recorder::Recorder;
use super::setup::{DemoServer, NAME};
use super::table::Table;
use crate::command::{Task, path, progress, read_answer, task_body};
use crate::connection::name;
use crate::console::Live;
use crate::failure::Failure;
use crate::stop::Stop;
use crate::text;

/// The task's name.
const TASK: &str = "to-lake";
/// Where its objects go, by the hour of their commit.
const PREFIX: &str = "metrics/year=$yyyy/month=$MM/day=$dd/hour=$HH";
/// An object holds rows of at most this time.
const OBJECT_AGE: Duration = Duration::from_secs(3);

/// How often the computer is looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the lake and the task are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Looks before the task is made, and the time between them: the least that gives shares of a core's time.
const FIRST_LOOKS: u32 = 4;
const FIRST_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long the end waits for delivery, before it says what keeps it.
const DELIVERED_WITHIN: Duration = Duration::from_secs(60);

/// A run of the demo.
pub struct Run<'a> {
    server: &'a DemoServer,
    table: Table<'a>,
    clock: Arc<dyn Clock>,
    live: &'a mut Live,
    sampler: Sampler,
    recorder: Recorder,
    written: u64,
    printed: HashSet<String>,
}

impl<'a> Run<'a> {
    /// A run that has done nothing yet.
    pub fn new(server: &'a DemoServer, table: Table<'a>, clock: Arc<dyn Clock>, live: &'a mut Live) -> Self {
        let (sampler, recorder) = (Sampler::start(), Recorder::default());
        Self { server, table, clock, live, sampler, recorder, written: 0, printed: HashSet::new() }
    }

    /// Writes the rows that the full phase will deliver.
    pub async fn write_first_rows(&mut self) -> Result<(), Failure> {
        for _ in 0..FIRST_LOOKS {
            tokio::time::sleep(FIRST_LOOK_INTERVAL).await;
            self.sample().await?;
        }
        let rows = text::counted(self.written, ("change", "changes"));
        self.live.answer(format_args!("  table   metrics, {rows} of rows written so far, more each second"))
    }

    /// Makes the task.
    pub async fn make_task(&mut self) -> Result<(), Failure> {
        let spec = TaskSpec {
            name: name::new_task(TASK)?,
            mode: Mode::BaseInc,
            destination: Destination {
                bucket: name::bucket(NAME)?,
                endpoint: "local".to_owned(),
                role: RoleEntry::SERVICE_LINKED.to_owned(),
                prefix: PREFIX.to_owned(),
                event_time: None,
                zone: "UTC".to_owned(),
                suffix: ".parquet".to_owned(),
                dirty_prefix: None,
            },
            schema: SchemaSpec::Automatic { reserved: true },
            tuning: Tuning::default(),
        };
        let age_ms = u64::try_from(OBJECT_AGE.as_millis()).unwrap_or(u64::MAX);
        let tuning = Map::from_iter([("object_age_ms_max".to_owned(), json!(age_ms))]);
        let connection = self.server.connection();
        let tasks = path::tasks(connection.instance(), self.table.name());
        connection.post(&tasks, &task_body(&spec, tuning)).await?;
        let age = text::duration(OBJECT_AGE);
        self.live.answer(format_args!(
            "  task    {TASK}, BASE_INC, an object at least every {age} into {PREFIX}\n"
        ))
    }

    /// Samples and prints until the time is over or the program is asked to stop; at least one more sample is
    /// written, so that there is something for the incremental phase.
    pub async fn until(&mut self, time: Option<Duration>, stop: Stop) -> Result<(), Failure> {
        let mut sample_tick = interval(SAMPLE_INTERVAL);
        // After a pause, as of a closed laptop, there is nothing to catch up with.
        sample_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look_tick = interval(LOOK_INTERVAL);
        look_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let over = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let asked = stop.asked();
        tokio::pin!(over, asked);
        sample_tick.tick().await;
        self.sample().await?;
        loop {
            tokio::select! {
                _ = sample_tick.tick() => self.sample().await?,
                _ = look_tick.tick() => { self.look().await?; }
                () = &mut over => return Ok(()),
                () = &mut asked => {
                    self.live.note("ending; Ctrl-C again ends at once, without the check");
                    return Ok(());
                }
            }
        }
    }

    /// Has what waits delivered, and waits until the lake is complete up to now.
    pub async fn deliver_all(&mut self) -> Result<(), Failure> {
        let complete_up_to = self.clock.now_micros();
        self.wait_for(|status| status.phase == Phase::Incr).await?;
        self.server.connection().post(&format!("{}/deliver-now", self.task_path()?), &json!({})).await?;
        self.wait_for(|status| progress::is_delivered(Mode::BaseInc, status, complete_up_to)).await?;
        self.print_new_objects(None)
    }

    /// The whole table, over the protocol.
    pub async fn read_table(&self) -> Result<State, Failure> {
        self.table.read().await
    }

    /// All objects of the lake.
    pub fn read_lake(&self) -> Result<Vec<DeliveredObject>, Failure> {
        lake::names(&self.server.objects())?.iter().map(|path| lake::read(path)).collect()
    }

    async fn sample(&mut self) -> Result<(), Failure> {
        let samples = self.sampler.sample(self.clock.now_micros());
        let rows = self.recorder.rows(&samples);
        self.written += u64::try_from(rows.len()).unwrap_or(0);
        self.table.write(rows).await
    }

    async fn wait_for(&mut self, enough: impl Fn(&TaskStatus) -> bool) -> Result<(), Failure> {
        let give_up_at = Instant::now() + DELIVERED_WITHIN;
        loop {
            let status = self.look().await?;
            if enough(&status) {
                return Ok(());
            }
            if Instant::now() >= give_up_at {
                let waited = text::duration(DELIVERED_WITHIN);
                let standing = progress::line(&status, self.clock.now_micros());
                return Err(Failure::broken(format!("not all is delivered after {waited}: {standing}")));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Prints what has landed, and says how far delivery is.
    async fn look(&mut self) -> Result<TaskStatus, Failure> {
        let Task { status, .. } = read_answer(self.server.connection().get(&self.task_path()?).await?)?;
        let now = self.clock.now_micros();
        self.print_new_objects(Some(&progress::behind(&status, now)))?;
        let written = text::counted(self.written, ("change", "changes"));
        self.live.set(format!("{written} written; {}", progress::line(&status, now)));
        Ok(status)
    }

    fn print_new_objects(&mut self, behind: Option<&str>) -> Result<(), Failure> {
        let directory = self.server.objects();
        for path in lake::names(&directory)? {
            let name = path.strip_prefix(&directory).unwrap_or(&path).display().to_string();
            if self.printed.contains(&name) {
                continue;
            }
            let object = lake::read(&path)?;
            self.live.answer(line(&object, self.clock.now_micros(), behind))?;
            self.printed.insert(name);
        }
        Ok(())
    }

    fn task_path(&self) -> Result<String, Failure> {
        Ok(path::task(self.server.connection().instance(), self.table.name(), &name::task(TASK)?))
    }
}

fn line(object: &DeliveredObject, now: Micros, behind: Option<&str>) -> String {
    let time = text::time_of_day(now);
    let rows = text::counted(u64::try_from(object.rows.len()).unwrap_or(u64::MAX), ("row", "rows"));
    let size = text::size(object.bytes);
    let behind = behind.map(|behind| format!("  {behind}")).unwrap_or_default();
    format!("{time}  {}  {rows:>9}  {size:>9}  {}{behind}", object.phase.name(), object.name)
}
