//! The first access key: made by the first start, kept in a file that only its owner can read.
//!
//! 1. No key in the catalog: a pair is drawn, and written to `operator-key.toml` in the data directory under
//!    a temporary name, synced, renamed, and the directory synced.
//! 2. Then the key goes into the catalog.
//!
//! A crash before 2 leaves a file that the next start uses again; one after 2 finds both. In the other order
//! a crash could leave a catalog whose only key nobody knows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lakeferry_durable::Sync;
use lakeferry_model::{AccessKey, AccessKind, Micros, Secret};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// The name of the key's file in the data directory.
pub const KEY_FILE: &str = "operator-key.toml";

const ID_LENGTH: usize = 24;
const SECRET_LENGTH: usize = 40;

#[derive(Serialize, Deserialize)]
struct KeyFile {
    access_key_id: String,
    access_key_secret: Secret,
}

/// Draws a new access key.
pub fn draw(kind: AccessKind, created_at: Micros) -> AccessKey {
    let id = format!("LF{}", random_text(ID_LENGTH - 2));
    AccessKey { id, secret: Secret::new(random_text(SECRET_LENGTH)), kind, instances: Vec::new(), created_at }
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

    use super::*;

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
