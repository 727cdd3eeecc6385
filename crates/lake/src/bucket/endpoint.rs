//! Whether the endpoint that a task names is the one of its bucket's entry.

use lakeferry_model::BucketEntry;

/// What our own program names where nobody has asked for an endpoint: the one of the bucket's entry.
const UNASKED: &str = "local";

/// Whether a task that names this endpoint means the store of the bucket's entry. Scheme, `-internal`, a
/// bucket in front of the host and a path behind it make no difference. A local bucket, and an entry without
/// an endpoint, accepts any.
pub fn endpoint_agrees(named: &str, entry: &BucketEntry) -> bool {
    let Some(remote) = entry.location.remote() else { return true };
    let Some(endpoint) = &remote.endpoint else { return true };
    if named == UNASKED {
        return true;
    }
    let buckets = [remote.bucket.as_str(), entry.name.as_str()];
    bare_host(named, &buckets) == bare_host(endpoint, &buckets)
}

fn bare_host(endpoint: &str, buckets: &[&str]) -> String {
    let lower = endpoint.trim().to_ascii_lowercase();
    let (scheme, behind) = lower.split_once("://").unwrap_or(("", &lower));
    let authority = behind.split(['/', '?', '#']).next().unwrap_or(behind);
    let default_ports: &[&str] = match scheme {
        "http" => &[":80"],
        "https" => &[":443"],
        _ => &[":80", ":443"],
    };
    let host = default_ports.iter().find_map(|port| authority.strip_suffix(port)).unwrap_or(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    let in_front = |bucket: &&str| host.strip_prefix(*bucket).and_then(|rest| rest.strip_prefix('.'));
    let host = buckets.iter().find_map(in_front).unwrap_or(host);
    match host.split_once('.') {
        Some((first, rest)) => format!("{}.{rest}", first.strip_suffix("-internal").unwrap_or(first)),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakeferry_model::{BucketLocation, BucketName, RemoteBucket};

    fn entry(endpoint: Option<&str>) -> BucketEntry {
        BucketEntry {
            name: BucketName::parse("lake").unwrap(),
            location: BucketLocation::S3(RemoteBucket {
                endpoint: endpoint.map(str::to_owned),
                ..RemoteBucket::named("real-lake")
            }),
            created_at: 0,
        }
    }

    #[test]
    fn spellings_of_one_endpoint_agree() {
        let oss = entry(Some("https://oss-cn-hangzhou.aliyuncs.com"));
        for same in [
            "oss-cn-hangzhou.aliyuncs.com",
            "http://OSS-cn-hangzhou.aliyuncs.com/",
            "https://oss-cn-hangzhou-internal.aliyuncs.com",
            "real-lake.oss-cn-hangzhou.aliyuncs.com",
            "https://lake.oss-cn-hangzhou-internal.aliyuncs.com:443/path",
        ] {
            assert!(endpoint_agrees(same, &oss), "{same}");
        }
        assert!(endpoint_agrees("oss-cn-x.aliyuncs.com", &entry(Some("oss-cn-x-internal.aliyuncs.com"))));
    }

    #[test]
    fn another_region_store_or_port_does_not_agree() {
        let oss = entry(Some("https://oss-cn-hangzhou.aliyuncs.com"));
        for other in [
            "",
            "oss-cn-shanghai.aliyuncs.com",
            "oss-cn-hangzhou.example.com",
            "other.oss-cn-hangzhou.aliyuncs.com",
            "oss-cn-hangzhou.aliyuncs.com:8080",
        ] {
            assert!(!endpoint_agrees(other, &oss), "{other}");
        }
        assert!(!endpoint_agrees("http://127.0.0.1:9001", &entry(Some("http://127.0.0.1:9000"))));
    }

    #[test]
    fn a_task_that_asks_for_no_endpoint_takes_the_entrys() {
        assert!(endpoint_agrees("local", &entry(Some("http://127.0.0.1:9000"))));
        assert!(!endpoint_agrees("local.example.com", &entry(Some("http://127.0.0.1:9000"))));
    }

    #[test]
    fn an_entry_without_an_endpoint_accepts_any() {
        assert!(endpoint_agrees("anything", &entry(None)));
        let local = BucketEntry { location: BucketLocation::Local, ..entry(None) };
        assert!(endpoint_agrees("oss-cn-hangzhou.aliyuncs.com", &local));
    }
}
