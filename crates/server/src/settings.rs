//! Settings: plain data, from a file, the environment and flags, in rising order of weight.
//!
//! Each layer fills a [`Layer`], in which everything is optional. [`Settings::from_layers`] puts the layers
//! over the defaults, which stand here and nowhere else, and checks the result; a complaint names the
//! setting as it stands in the file. The settings in force are logged at the start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lakeferry_delivery::OBJECT_BYTES_MAX;
use lakeferry_model::delivery::Tuning;
use serde::{Deserialize, Serialize};

/// Every setting, with its value in force.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// The directory that holds everything: `engine/`, `lake/`, `operator-key.toml`.
    pub data: PathBuf,
    /// The address to answer at. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// For development and CI: fixed keys; instances, buckets and roles are made when first named.
    pub dev: bool,
    /// Seconds until a request is given up.
    pub request_s_max: u64,
    /// Seconds that a stop may take.
    pub stop_s_max: u64,
    /// MiB of request bodies held at once, and as many of large answers; further requests wait for their turn.
    pub request_mib_max: u64,
    /// The engine's settings.
    pub engine: EngineSettings,
    /// Delivery's settings.
    pub delivery: DeliverySettings,
}

/// What the engine may use.
#[derive(Debug, Clone, Serialize)]
pub struct EngineSettings {
    /// MiB of blocks kept in memory. More makes reads of a large table quicker.
    pub cache_mib: u64,
    /// MiB of rows kept in memory before they are written to tables on disk.
    pub write_buffer_mib: u64,
    /// MiB of journal. A start after a crash takes about 10 ms per MiB.
    pub journal_mib: u64,
    /// MiB of disk that stay free: below it row writes are refused while trimming and delivery go on. Absent:
    /// 1 GiB, or 5 % of a small disk.
    pub reserve_mib: Option<u64>,
}

/// What delivery may use, and the defaults of new tasks.
#[derive(Debug, Clone, Serialize)]
pub struct DeliverySettings {
    /// MiB of gathered rows, over all tasks.
    pub memory_mib: u64,
    /// A new task's default: seconds after which an object is cut.
    pub object_age_s: f64,
    /// A new task's default: MiB of gathered records at which an object is cut, 1024 at most.
    pub object_mib: u64,
    /// A new task's default: lanes to begin the incremental phase with.
    pub lanes_min: u32,
    /// A new task's default: lanes at most. Absent: the number of cores.
    pub lanes_max: Option<u32>,
    /// A new task's default: dirty fields above which it stands still until it is updated; SDKs have no word for it.
    /// Absent: no limit, and delivery never waits for a person.
    pub dirty_fields_max: Option<u64>,
    /// Columns up to which a new task's automatic schema grows; of further ones it is told that they are not delivered.
    /// Keys, defined columns and reserved sources are always in. Each takes up to 150 KiB of memory in every object that
    /// is being encoded, also where rows leave it empty.
    pub automatic_columns: usize,
    /// MiB of changes per second that a task's lanes read on average, over 15 s, when it gets one more. Lower spreads
    /// tasks over more lanes sooner, which makes more and smaller objects.
    pub lane_mib_per_s: u64,
}

/// One source of settings: a file, the environment, or flags.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of `Settings`, each optional")]
pub struct Layer {
    pub data: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub dev: Option<bool>,
    pub request_s_max: Option<u64>,
    pub stop_s_max: Option<u64>,
    pub request_mib_max: Option<u64>,
    #[serde(default)]
    pub engine: EngineLayer,
    #[serde(default)]
    pub delivery: DeliveryLayer,
}

/// The `[engine]` part of a [`Layer`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of `EngineSettings`, each optional")]
pub struct EngineLayer {
    pub cache_mib: Option<u64>,
    pub write_buffer_mib: Option<u64>,
    pub journal_mib: Option<u64>,
    pub reserve_mib: Option<u64>,
}

/// The `[delivery]` part of a [`Layer`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields of `DeliverySettings`, each optional")]
pub struct DeliveryLayer {
    pub memory_mib: Option<u64>,
    pub object_age_s: Option<f64>,
    pub object_mib: Option<u64>,
    pub lanes_min: Option<u32>,
    pub lanes_max: Option<u32>,
    pub dirty_fields_max: Option<u64>,
    pub automatic_columns: Option<usize>,
    pub lane_mib_per_s: Option<u64>,
}

/// Settings that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("read the settings file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no TOML, or names a setting that there is not.
    #[error("the settings file `{}` is not valid: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// A variable of the environment does not hold what its setting takes.
    #[error("`{variable}` is `{value}`, which is no {expected}")]
    Variable {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A value is out of its range.
    #[error("the setting `{name}` is {value}; it must be {rule}")]
    Range {
        /// The setting as it stands in the file.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
}

impl Layer {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML, or names an unknown setting.
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| SettingsError::Syntax { path: path.to_owned(), message: error.to_string() })
    }

    /// Reads the variables `LAKEFERRY_…` through `lookup`.
    ///
    /// # Errors
    /// If a variable does not hold what its setting takes.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        fn parsed<T: std::str::FromStr>(
            lookup: &impl Fn(&str) -> Option<String>,
            variable: &'static str,
            expected: &'static str,
        ) -> Result<Option<T>, SettingsError> {
            let Some(value) = lookup(variable) else { return Ok(None) };
            match value.parse() {
                Ok(parsed) => Ok(Some(parsed)),
                Err(_) => Err(SettingsError::Variable { variable, value, expected }),
            }
        }
        const NUMBER: &str = "whole number";
        Ok(Self {
            data: lookup("LAKEFERRY_DATA").map(PathBuf::from),
            listen: parsed(&lookup, "LAKEFERRY_LISTEN", "address such as 127.0.0.1:8087")?,
            dev: parsed(&lookup, "LAKEFERRY_DEV", "`true` or `false`")?,
            request_s_max: parsed(&lookup, "LAKEFERRY_REQUEST_S_MAX", NUMBER)?,
            stop_s_max: parsed(&lookup, "LAKEFERRY_STOP_S_MAX", NUMBER)?,
            request_mib_max: parsed(&lookup, "LAKEFERRY_REQUEST_MIB_MAX", NUMBER)?,
            engine: EngineLayer {
                cache_mib: parsed(&lookup, "LAKEFERRY_ENGINE_CACHE_MIB", NUMBER)?,
                write_buffer_mib: parsed(&lookup, "LAKEFERRY_ENGINE_WRITE_BUFFER_MIB", NUMBER)?,
                journal_mib: parsed(&lookup, "LAKEFERRY_ENGINE_JOURNAL_MIB", NUMBER)?,
                reserve_mib: parsed(&lookup, "LAKEFERRY_ENGINE_RESERVE_MIB", NUMBER)?,
            },
            delivery: DeliveryLayer {
                memory_mib: parsed(&lookup, "LAKEFERRY_DELIVERY_MEMORY_MIB", NUMBER)?,
                object_age_s: parsed(&lookup, "LAKEFERRY_DELIVERY_OBJECT_AGE_S", "number of seconds")?,
                object_mib: parsed(&lookup, "LAKEFERRY_DELIVERY_OBJECT_MIB", NUMBER)?,
                lanes_min: parsed(&lookup, "LAKEFERRY_DELIVERY_LANES_MIN", NUMBER)?,
                lanes_max: parsed(&lookup, "LAKEFERRY_DELIVERY_LANES_MAX", NUMBER)?,
                dirty_fields_max: parsed(&lookup, "LAKEFERRY_DELIVERY_DIRTY_FIELDS_MAX", NUMBER)?,
                automatic_columns: parsed(&lookup, "LAKEFERRY_DELIVERY_AUTOMATIC_COLUMNS", NUMBER)?,
                lane_mib_per_s: parsed(&lookup, "LAKEFERRY_DELIVERY_LANE_MIB_PER_S", NUMBER)?,
            },
        })
    }

    /// This layer, with what it leaves open taken from `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            data: self.data.or(below.data),
            listen: self.listen.or(below.listen),
            dev: self.dev.or(below.dev),
            request_s_max: self.request_s_max.or(below.request_s_max),
            stop_s_max: self.stop_s_max.or(below.stop_s_max),
            request_mib_max: self.request_mib_max.or(below.request_mib_max),
            engine: EngineLayer {
                cache_mib: self.engine.cache_mib.or(below.engine.cache_mib),
                write_buffer_mib: self.engine.write_buffer_mib.or(below.engine.write_buffer_mib),
                journal_mib: self.engine.journal_mib.or(below.engine.journal_mib),
                reserve_mib: self.engine.reserve_mib.or(below.engine.reserve_mib),
            },
            delivery: DeliveryLayer {
                memory_mib: self.delivery.memory_mib.or(below.delivery.memory_mib),
                object_age_s: self.delivery.object_age_s.or(below.delivery.object_age_s),
                object_mib: self.delivery.object_mib.or(below.delivery.object_mib),
                lanes_min: self.delivery.lanes_min.or(below.delivery.lanes_min),
                lanes_max: self.delivery.lanes_max.or(below.delivery.lanes_max),
                dirty_fields_max: self.delivery.dirty_fields_max.or(below.delivery.dirty_fields_max),
                automatic_columns: self.delivery.automatic_columns.or(below.delivery.automatic_columns),
                lane_mib_per_s: self.delivery.lane_mib_per_s.or(below.delivery.lane_mib_per_s),
            },
        }
    }
}

impl Settings {
    /// Puts the layers, weightiest first, over the defaults, and checks the result.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn from_layers(layers: impl IntoIterator<Item = Layer>) -> Result<Self, SettingsError> {
        let layer = layers.into_iter().fold(Layer::default(), Layer::over);
        let tuning = Tuning::default();
        let settings = Self {
            data: layer.data.unwrap_or_else(|| PathBuf::from("data")),
            listen: layer.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8087))),
            dev: layer.dev.unwrap_or(false),
            request_s_max: layer.request_s_max.unwrap_or(10),
            stop_s_max: layer.stop_s_max.unwrap_or(10),
            request_mib_max: layer.request_mib_max.unwrap_or(128),
            engine: EngineSettings {
                cache_mib: layer.engine.cache_mib.unwrap_or(128),
                write_buffer_mib: layer.engine.write_buffer_mib.unwrap_or(128),
                journal_mib: layer.engine.journal_mib.unwrap_or(256),
                reserve_mib: layer.engine.reserve_mib,
            },
            delivery: DeliverySettings {
                memory_mib: layer.delivery.memory_mib.unwrap_or(176),
                object_age_s: layer
                    .delivery
                    .object_age_s
                    .unwrap_or(Duration::from_millis(tuning.object_age_ms_max).as_secs_f64()),
                object_mib: layer.delivery.object_mib.unwrap_or(tuning.object_bytes_max >> 20),
                lanes_min: layer.delivery.lanes_min.unwrap_or(tuning.lanes_min),
                lanes_max: layer.delivery.lanes_max,
                dirty_fields_max: layer.delivery.dirty_fields_max,
                automatic_columns: layer.delivery.automatic_columns.unwrap_or(1024),
                lane_mib_per_s: layer.delivery.lane_mib_per_s.unwrap_or(8),
            },
        };
        settings.check()?;
        Ok(settings)
    }

    /// The directory of local buckets.
    pub fn lake_dir(&self) -> PathBuf {
        self.data.join("lake")
    }

    /// What new tasks are tuned to unless they say otherwise.
    pub fn tuning(&self) -> Tuning {
        let default = Tuning::default();
        let age = Duration::from_secs_f64(self.delivery.object_age_s);
        Tuning {
            dirty_fields_max: self.delivery.dirty_fields_max,
            object_age_ms_max: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            object_bytes_max: self.delivery.object_mib << 20,
            lanes_min: self.delivery.lanes_min,
            lanes_max: self.delivery.lanes_max.unwrap_or(default.lanes_max).max(self.delivery.lanes_min),
            ..default
        }
    }

    fn check(&self) -> Result<(), SettingsError> {
        let within = |name, value: u64, min: u64, max: u64, rule| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(SettingsError::Range { name, value: value.to_string(), rule })
            }
        };
        within("request_s_max", self.request_s_max, 1, 3600, "1 to 3600 seconds")?;
        within("stop_s_max", self.stop_s_max, 1, 3600, "1 to 3600 seconds")?;
        within("request_mib_max", self.request_mib_max, 32, 1 << 20, "at least 32 MiB, one largest request")?;
        within("engine.cache_mib", self.engine.cache_mib, 8, 1 << 20, "at least 8 MiB")?;
        within("engine.write_buffer_mib", self.engine.write_buffer_mib, 16, 1 << 20, "at least 16 MiB")?;
        within("engine.journal_mib", self.engine.journal_mib, 64, 1 << 20, "at least 64 MiB")?;
        // A bound far beyond any disk, below which bytes cannot overflow.
        within("engine.reserve_mib", self.engine.reserve_mib.unwrap_or(0), 0, 1 << 40, "at most 2^40 MiB")?;
        within("delivery.memory_mib", self.delivery.memory_mib, 16, 1 << 20, "at least 16 MiB")?;
        // What no task takes would be refused with each one that is made.
        let object_mib_max = OBJECT_BYTES_MAX >> 20;
        within("delivery.object_mib", self.delivery.object_mib, 1, object_mib_max, "1 to 1024 MiB")?;
        within("delivery.lanes_min", self.delivery.lanes_min.into(), 1, 64, "1 to 64")?;
        if let Some(lanes_max) = self.delivery.lanes_max {
            within(
                "delivery.lanes_max",
                lanes_max.into(),
                self.delivery.lanes_min.into(),
                64,
                "lanes_min to 64",
            )?;
        }
        let automatic_columns = self.delivery.automatic_columns as u64;
        // Encoding an object of 4096 columns takes 600 MiB.
        within("delivery.automatic_columns", automatic_columns, 1, 4096, "1 to 4096 columns")?;
        within("delivery.lane_mib_per_s", self.delivery.lane_mib_per_s, 1, 1 << 20, "1 to 2^20 MiB/s")?;
        let age = self.delivery.object_age_s;
        if !(0.05..=86_400.0).contains(&age) {
            let rule = "0.05 to 86400 seconds";
            return Err(SettingsError::Range { name: "delivery.object_age_s", value: age.to_string(), rule });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_outweighs_the_environment_and_that_the_file() {
        let file: Layer =
            toml::from_str("stop_s_max = 1\nrequest_s_max = 1\n[engine]\ncache_mib = 9").unwrap();
        let environment = Layer::from_environment(|name| match name {
            "LAKEFERRY_STOP_S_MAX" => Some("2".into()),
            "LAKEFERRY_REQUEST_S_MAX" => Some("2".into()),
            _ => None,
        })
        .unwrap();
        let flags = Layer { stop_s_max: Some(3), ..Layer::default() };
        let settings = Settings::from_layers([flags, environment, file]).unwrap();
        assert_eq!((settings.stop_s_max, settings.request_s_max, settings.engine.cache_mib), (3, 2, 9));
    }

    #[test]
    fn the_columns_of_an_automatic_schema_are_a_setting_of_every_layer() {
        let variable = |name: &str| (name == "LAKEFERRY_DELIVERY_AUTOMATIC_COLUMNS").then(|| "7".to_owned());
        let environment = Layer::from_environment(variable).unwrap();
        let file = |columns: &str| -> Layer {
            toml::from_str(&format!("[delivery]\nautomatic_columns = {columns}")).unwrap()
        };
        let told = |layers: Vec<Layer>| match Settings::from_layers(layers) {
            Ok(settings) => Ok(settings.delivery.automatic_columns),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(told(vec![]), Ok(1024));
        assert_eq!(told(vec![file("4096")]), Ok(4096));
        assert_eq!(told(vec![environment, file("4096")]), Ok(7));
        for out_of_range in ["0", "4097"] {
            let rule = "it must be 1 to 4096 columns";
            let expected = format!("the setting `delivery.automatic_columns` is {out_of_range}; {rule}");
            assert_eq!(told(vec![file(out_of_range)]), Err(expected));
        }
    }

    #[test]
    fn new_tasks_are_tuned_as_the_settings_say() {
        let file = "[delivery]\nobject_age_s = 0.5\nobject_mib = 2\nlanes_min = 3\nlanes_max = 4\ndirty_fields_max = 0";
        let tuning = Settings::from_layers([toml::from_str(file).unwrap()]).unwrap().tuning();
        let expected = Tuning {
            object_age_ms_max: 500,
            object_bytes_max: 2 << 20,
            lanes_min: 3,
            lanes_max: 4,
            dirty_fields_max: Some(0),
            ..Tuning::default()
        };
        assert_eq!(tuning, expected);
        assert_eq!(Settings::from_layers([]).unwrap().tuning(), Tuning::default());
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let error = toml::from_str::<Layer>("[engine]\ncash_mib = 9").unwrap_err();
        assert!(error.to_string().contains("cash_mib"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_settings_full_name() {
        let layer =
            Layer { engine: EngineLayer { cache_mib: Some(1), ..Default::default() }, ..Layer::default() };
        let error = Settings::from_layers([layer]).unwrap_err().to_string();
        assert_eq!(error, "the setting `engine.cache_mib` is 1; it must be at least 8 MiB");
    }

    #[test]
    fn objects_larger_than_any_task_may_have_are_refused_at_the_start() {
        let of = |object_mib| {
            let delivery = DeliveryLayer { object_mib: Some(object_mib), ..DeliveryLayer::default() };
            Settings::from_layers([Layer { delivery, ..Layer::default() }])
        };
        assert_eq!(of(1024).unwrap().tuning().object_bytes_max, OBJECT_BYTES_MAX);
        assert_eq!(
            of(1025).unwrap_err().to_string(),
            "the setting `delivery.object_mib` is 1025; it must be 1 to 1024 MiB"
        );
    }

    #[test]
    fn a_variable_that_is_no_number_is_refused_by_name() {
        let error = Layer::from_environment(|name| (name == "LAKEFERRY_STOP_S_MAX").then(|| "soon".into()));
        assert_eq!(
            error.unwrap_err().to_string(),
            "`LAKEFERRY_STOP_S_MAX` is `soon`, which is no whole number"
        );
    }
}
