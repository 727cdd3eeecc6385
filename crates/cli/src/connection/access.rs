//! Which access key to use.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use crate::args::ServerArgs;
use crate::console;
use crate::failure::Failure;

/// The file in a server's data directory that holds its first operator key.
pub const KEY_FILE: &str = "operator-key.toml";

/// An access key's two halves.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct KeyPair {
    #[serde(rename = "access_key_id")]
    pub id: String,
    #[serde(rename = "access_key_secret")]
    pub secret: String,
}

impl KeyPair {
    /// Reads the operator key of a data directory, if there is one.
    ///
    /// # Errors
    /// If the file is there but cannot be read or understood.
    pub fn of_data_directory(data: &Path) -> Result<Option<Self>, Failure> {
        let path = data.join(KEY_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => {
                return Err(Failure::broken(format!("read the operator key `{}`", path.display()))
                    .caused_by(error)
                    .hint("give a key: TABLESTORE_ACCESS_KEY_ID and TABLESTORE_ACCESS_KEY_SECRET"));
            }
        };
        // The parser's own message would quote the line, and with it the secret.
        toml::from_str(&text).map(Some).map_err(|_| {
            Failure::broken(format!("the operator key `{}` cannot be understood", path.display()))
                .hint("it should hold `access_key_id` and `access_key_secret`")
        })
    }
}

/// The key given, else the operator key of the data directory, which is said on stderr.
pub fn find(args: &ServerArgs) -> Result<KeyPair, Failure> {
    match (&args.access_key_id, &args.access_key_secret) {
        (Some(id), Some(secret)) => return Ok(KeyPair { id: id.clone(), secret: secret.clone() }),
        (None, None) => {}
        (Some(_), None) => return Err(half_missing("TABLESTORE_ACCESS_KEY_SECRET")),
        (None, Some(_)) => return Err(half_missing("TABLESTORE_ACCESS_KEY_ID")),
    }
    if let Some(key) = KeyPair::of_data_directory(&args.data)? {
        console::note(format_args!("using the operator key of {}", args.data.join(KEY_FILE).display()));
        return Ok(key);
    }
    Err(Failure::usage(format!(
        "no access key is given, and `{}` holds none",
        args.data.join(KEY_FILE).display()
    ))
    .hint("set TABLESTORE_ACCESS_KEY_ID and TABLESTORE_ACCESS_KEY_SECRET; both are `dev` for `serve --dev`")
    .hint("or point --data at the server's data directory, whose operator key is then used")
    .hint("no server yet? start one with: lakeferry serve"))
}

fn half_missing(variable: &str) -> Failure {
    Failure::usage(format!("half of the access key is missing: set {variable} too"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(id: Option<&str>, secret: Option<&str>, data: &Path) -> ServerArgs {
        ServerArgs {
            endpoint: String::new(),
            access_key_id: id.map(str::to_owned),
            access_key_secret: secret.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    #[test]
    fn a_key_that_is_given_outweighs_the_operator_key() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(KEY_FILE), "access_key_id = \"a\"\naccess_key_secret = \"b\"").unwrap();
        assert_eq!(find(&args(Some("x"), Some("y"), data.path())).unwrap_or_else(|_| panic!()).id, "x");
        assert_eq!(find(&args(None, None, data.path())).unwrap_or_else(|_| panic!()).id, "a");
    }

    #[test]
    fn a_missing_key_or_half_of_one_is_told_with_what_to_do() {
        let data = tempfile::tempdir().unwrap();
        let said = |id, secret| find(&args(id, secret, data.path())).err().unwrap().to_string();
        assert!(said(None, None).contains("lakeferry serve"));
        assert!(said(Some("x"), None).contains("TABLESTORE_ACCESS_KEY_SECRET"));
        assert!(said(None, Some("y")).contains("TABLESTORE_ACCESS_KEY_ID"));
    }

    #[test]
    fn a_damaged_key_file_is_told_without_its_content() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(KEY_FILE), "access_key_secret = hush").unwrap();
        let failure = KeyPair::of_data_directory(data.path()).err().unwrap().to_string();
        assert!(failure.contains(KEY_FILE) && !failure.contains("hush"), "{failure}");
    }
}
