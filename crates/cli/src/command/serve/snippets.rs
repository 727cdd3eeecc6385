//! What `serve --dev` prints: how to call it from four languages. Each block can be pasted into a shell.

use std::env;

/// The key of a server for development, as its environment sets it.
pub struct DevKey {
    id: String,
    /// Whether the secret is the well-known one. Another one is not printed.
    secret_is_known: bool,
}

/// Takes the key from the environment, as the server does.
pub fn key_of_environment() -> DevKey {
    let secret = env::var("TABLESTORE_ACCESS_KEY_SECRET");
    DevKey {
        id: env::var("TABLESTORE_ACCESS_KEY_ID").unwrap_or_else(|_| "dev".to_owned()),
        secret_is_known: secret.is_err(),
    }
}

/// The export lines, then a block for each language.
pub fn all(endpoint: &str, key: DevKey) -> String {
    let id = key.id;
    let secret = if key.secret_is_known {
        "export TABLESTORE_ACCESS_KEY_SECRET=dev"
    } else {
        "# and TABLESTORE_ACCESS_KEY_SECRET, which your environment has set already"
    };
    format!(
        "\
A server for development: instances, buckets and roles are made when first named. In another terminal:

export TABLESTORE_ENDPOINT={endpoint} TABLESTORE_INSTANCE=dev TABLESTORE_ACCESS_KEY_ID={id}
{secret}

{PYTHON}
{JAVA}
{GO}
{NODE}"
    )
}

const PYTHON: &str = r#"# Python
python3 -m venv hello-python && hello-python/bin/pip install --quiet tablestore
hello-python/bin/python - <<'END'
import os
from tablestore import OTSClient
env = os.environ
client = OTSClient(env["TABLESTORE_ENDPOINT"], env["TABLESTORE_ACCESS_KEY_ID"],
                   env["TABLESTORE_ACCESS_KEY_SECRET"], env["TABLESTORE_INSTANCE"])
print("Python sees the tables", list(client.list_table()))
END
"#;

const JAVA: &str = r#"# Java (11 or later, with Maven)
mkdir -p hello-java && cat > hello-java/pom.xml <<'END'
<project><modelVersion>4.0.0</modelVersion><groupId>hello</groupId><artifactId>hello</artifactId><version>1</version>
  <dependencies><dependency><groupId>com.aliyun.openservices</groupId><artifactId>tablestore</artifactId>
    <version>5.17.10</version></dependency></dependencies></project>
END
cat > hello-java/Hello.java <<'END'
import com.alicloud.openservices.tablestore.SyncClient;
public class Hello {
    public static void main(String[] args) {
        SyncClient client = new SyncClient(System.getenv("TABLESTORE_ENDPOINT"),
            System.getenv("TABLESTORE_ACCESS_KEY_ID"), System.getenv("TABLESTORE_ACCESS_KEY_SECRET"),
            System.getenv("TABLESTORE_INSTANCE"));
        System.out.println("Java sees the tables " + client.listTable().getTableNames());
        client.shutdown();
    }
}
END
(cd hello-java && mvn --quiet dependency:copy-dependencies && java -cp 'target/dependency/*' Hello.java)
"#;

const GO: &str = r#"# Go
mkdir -p hello-go && cat > hello-go/main.go <<'END'
package main
import (
    "fmt"
    "os"
    "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)
func main() {
    client := tablestore.NewClient(os.Getenv("TABLESTORE_ENDPOINT"), os.Getenv("TABLESTORE_INSTANCE"),
        os.Getenv("TABLESTORE_ACCESS_KEY_ID"), os.Getenv("TABLESTORE_ACCESS_KEY_SECRET"))
    tables, err := client.ListTable()
    if err != nil {
        panic(err)
    }
    fmt.Println("Go sees the tables", tables.TableNames)
}
END
(cd hello-go && { [ -f go.mod ] || go mod init hello; } && go mod tidy && go run .)
"#;

const NODE: &str = r#"# Node.js
mkdir -p hello-node && (cd hello-node && npm install --silent tablestore && node - <<'END'
const TableStore = require("tablestore");
const env = process.env;
const client = new TableStore.Client({
  endpoint: env.TABLESTORE_ENDPOINT, instancename: env.TABLESTORE_INSTANCE,
  accessKeyId: env.TABLESTORE_ACCESS_KEY_ID, secretAccessKey: env.TABLESTORE_ACCESS_KEY_SECRET,
});
client.listTable({}, (error, data) => {
  if (error) throw error;
  console.log("Node.js sees the tables", data.table_names ?? data.tableNames);
});
END
)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_the_environment_is_not_printed() {
        let told = |secret_is_known| all("http://127.0.0.1:1", DevKey { id: "me".into(), secret_is_known });
        assert!(told(true).contains("SECRET=dev") && told(true).contains("KEY_ID=me"));
        assert!(!told(false).contains("SECRET=dev"));
    }
}
