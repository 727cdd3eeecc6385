//! The first access key: made by the first start, kept in a file that only its owner can read. With `--dev` it is a
//! fixed one instead, which any other start removes: others may know it.
//!
//! 1. No key in the catalog: a pair is drawn, and written to `operator-key.toml` in the data directory under
//!    a temporary name, synced, renamed, and the directory synced.
//! 2. Then the key goes into the catalog.
//!
//! A crash before 2 leaves a file that the next start uses again; one after 2 finds both. In the other order
//! a crash could leave a catalog whose only key nobody knows. When the key is deleted, its file goes first: a start
//! that finds no operator would take the key from it again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lakeferry_durable::{Place, Sync};
use lakeferry_model::{AccessKey, AccessKind, Micros, Secret};
use lakeferry_store::Store;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::{FirstKey, OpenError};

/// The name of the key's file in the data directory.
pub const KEY_FILE: &str = "operator-key.toml";

/// Both halves of the fixed key of `--dev`, unless the environment says otherwise.
const DEV_KEY: &str = "dev";

const ID_LENGTH: usize = 24;
const SECRET_LENGTH: usize = 40;

#[derive(Serialize, Deserialize)]
struct KeyFile {
    access_key_id: String,
    access_key_secret: Secret,
}

/// Makes sure that somebody can sign: the fixed pair with `dev`, else the key of the first start.
///
/// # Errors
/// If the catalog or the key's file cannot be used.
pub async fn ensure(
    store: &Store,
    settings: &Settings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<FirstKey>, OpenError> {
    let now = store.clock().now_micros();
    if settings.dev {
        let key = development_key(environment, now);
        if store.key(&key.id).is_none_or(|known| known.secret != key.secret) {
            store.put_key(key).await?;
        }
        return Ok(None);
    }
    // The fixed pair opens servers for development alone, whoever made it.
    let is_fixed = |key: &AccessKey| key.id == DEV_KEY && key.secret.reveal() == DEV_KEY;
    for key in store.keys().iter().filter(|key| key.for_development || is_fixed(key)) {
        store.remove_key(&key.id).await?;
    }
    let made_now = !store.keys().iter().any(|key| key.kind == AccessKind::Operator);
    let path = settings.data.join(KEY_FILE);
    if !made_now {
        let told = path.exists().then(|| read_or_write(&settings.data, now).ok()).flatten();
        // The file may hold a key that was deleted since.
        let told = told.filter(|(key, _)| store.key(&key.id).is_some());
        return Ok(told.map(|(key, path)| FirstKey { access_key_id: key.id, path, made_now }));
    }
    let data_error = |source| OpenError::Data { path: settings.data.clone(), source };
    let (key, path) = read_or_write(&settings.data, now).map_err(data_error)?;
    let access_key_id = key.id.clone();
    store.put_key(key).await?;
    Place::KeyFileWritten.pass();
    Ok(Some(FirstKey { access_key_id, path, made_now }))
}

fn development_key(environment: impl Fn(&str) -> Option<String>, created_at: Micros) -> AccessKey {
    let from = |name| environment(name).unwrap_or_else(|| DEV_KEY.to_owned());
    AccessKey {
        id: from("TABLESTORE_ACCESS_KEY_ID"),
        secret: Secret::new(from("TABLESTORE_ACCESS_KEY_SECRET")),
        kind: AccessKind::Operator,
        instances: Vec::new(),
        created_at,
        for_development: true,
    }
}

/// Removes the key's file, for good, if it holds the key of this id.
///
/// # Errors
/// If it cannot be removed.
pub fn forget(data: &Path, id: &str) -> io::Result<()> {
    let path = data.join(KEY_FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    // No start takes a key from a file that it does not understand.
    if !toml::from_str(&text).is_ok_and(|file: KeyFile| file.access_key_id == id) {
        return Ok(());
    }
    fs::remove_file(&path)?;
    Sync::KeyFile.folder(data)
}

/// Draws a new access key.
pub fn draw(kind: AccessKind, created_at: Micros) -> AccessKey {
    let id = format!("LF{}", random_text(ID_LENGTH - 2));
    let secret = Secret::new(random_text(SECRET_LENGTH));
    AccessKey { id, secret, kind, instances: Vec::new(), created_at, for_development: false }
}

/// The operator's key as the data directory's file has it, which is written first if it is not there.
///
/// # Errors
/// If the file cannot be written, read or understood.
pub fn read_or_write(data: &Path, created_at: Micros) -> io::Result<(AccessKey, PathBuf)> {
    let path = data.join(KEY_FILE);
    let key = match fs::read_to_string(&path) {
        Ok(text) => {
            let file: KeyFile = toml::from_str(&text).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("`{}`: {}", path.display(), error.message()),
                )
            })?;
            AccessKey {
                id: file.access_key_id,
                secret: file.access_key_secret,
                ..draw(AccessKind::Operator, created_at)
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = draw(AccessKind::Operator, created_at);
            write(data, &path, &key)?;
            key
        }
        Err(error) => return Err(error),
    };
    Ok((key, path))
}

fn write(data: &Path, path: &Path, key: &AccessKey) -> io::Result<()> {
    let content = KeyFile { access_key_id: key.id.clone(), access_key_secret: key.secret.clone() };
    let text = toml::to_string(&content).map_err(io::Error::other)?;
    let temporary = path.with_extension("toml.tmp");
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(b"# The first operator key of this Lakeferry. Keep it secret.\n")?;
    file.write_all(text.as_bytes())?;
    Sync::KeyFile.file(&file)?;
    fs::rename(&temporary, path)?;
    Sync::KeyFile.folder(data)
}

fn random_text(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    (0..length).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use lakeferry_engine::MemoryEngine;
    use lakeferry_model::SystemClock;

    use super::*;
    use crate::settings::Layer;

    async fn store() -> Store {
        let (engine, clock) = (Arc::new(MemoryEngine::default()), SystemClock::shared());
        let deadline = Instant::now() + Duration::from_secs(60);
        Store::open(engine, clock, lakeferry_store::Settings::default(), deadline).await.unwrap()
    }

    fn settings(data: &Path, dev: bool) -> Settings {
        let layer = Layer { data: Some(data.to_owned()), dev: Some(dev), ..Layer::default() };
        Settings::from_layers([layer]).unwrap()
    }

    fn ids(store: &Store) -> Vec<String> {
        store.keys().iter().map(|key| key.id.clone()).collect()
    }

    #[tokio::test]
    async fn a_key_of_the_environment_does_not_outlast_development() {
        let (store, data) = (store().await, tempfile::tempdir().unwrap());
        let only_id = |name: &str| (name == "TABLESTORE_ACCESS_KEY_ID").then(|| "ci".to_owned());
        let both = |name: &str| Some(format!("cloud {name}"));
        ensure(&store, &settings(data.path(), true), only_id).await.unwrap();
        ensure(&store, &settings(data.path(), true), both).await.unwrap();
        assert_eq!(ids(&store), ["ci", "cloud TABLESTORE_ACCESS_KEY_ID"]);
        let first = ensure(&store, &settings(data.path(), false), both).await.unwrap().unwrap();
        assert!(first.made_now);
        assert_eq!(ids(&store), [first.access_key_id]);
    }

    #[tokio::test]
    async fn a_key_whose_file_is_forgotten_does_not_come_back() {
        let (store, data) = (store().await, tempfile::tempdir().unwrap());
        let first = ensure(&store, &settings(data.path(), false), |_| None).await.unwrap().unwrap();
        forget(data.path(), "another").unwrap();
        assert!(first.path.exists());
        forget(data.path(), &first.access_key_id).unwrap();
        store.remove_key(&first.access_key_id).await.unwrap();
        let second = ensure(&store, &settings(data.path(), false), |_| None).await.unwrap().unwrap();
        assert_ne!(second.access_key_id, first.access_key_id);
        assert_eq!(ids(&store), [second.access_key_id]);
    }

    #[test]
    fn the_key_is_written_once_and_found_again() {
        let data = tempfile::tempdir().unwrap();
        let (first, path) = read_or_write(data.path(), 1).unwrap();
        let (second, _) = read_or_write(data.path(), 2).unwrap();
        assert_eq!((&first.id, first.secret.reveal()), (&second.id, second.secret.reveal()));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_file_is_told_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(KEY_FILE), "what").unwrap();
        let error = read_or_write(data.path(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(data.path().join(KEY_FILE)).unwrap(), "what");
    }

    #[test]
    fn no_secret_reaches_a_log() {
        let key = draw(AccessKind::Operator, 1);
        assert!(!format!("{key:?}").contains(key.secret.reveal()));
    }
}
