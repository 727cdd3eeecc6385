//! What `/metrics` tells, as somebody sees who looks at it from this computer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::{Failure, broken};

/// One look at the metrics.
#[derive(Debug)]
pub struct Scrape(String);

impl Scrape {
    /// Looks at a server's metrics.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn of(address: &str) -> Result<Self, Failure> {
        let host = address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.map_err(broken("ask for the metrics"))?;
        // An answer to this version ends where the connection does.
        let request = format!("GET /metrics HTTP/1.0\r\nhost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(broken("ask for the metrics"))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(broken("read the metrics"))?;
        match answer.split_once("\r\n\r\n") {
            Some((head, text)) if head.split(' ').nth(1) == Some("200") => Ok(Self(text.to_owned())),
            _ => Err(Failure::Lost(format!("the metrics are not told: {answer}"))),
        }
    }

    /// The value of a metric with all these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!(r#"{label}="{value}""#)).collect();
        let line = self.0.lines().find(|line| {
            let rest = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{'));
            let told = rest.and_then(|rest| rest.split_once('}')).map(|(told, _)| told);
            told.is_some_and(|told| labels.iter().all(|label| told.split(',').any(|one| one == label)))
        })?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_name_and_labels() {
        let text =
            "# TYPE a gauge\na_b{task=\"x\"} 9\na{table=\"t\",task=\"x\"} 1.5\na{table=\"t\",task=\"y\"} 2\n";
        let scrape = Scrape(text.to_owned());
        assert_eq!(scrape.value("a", &[("task", "x")]), Some(1.5));
        assert_eq!(scrape.value("a", &[("table", "t"), ("task", "y")]), Some(2.0));
        assert_eq!(scrape.value("a", &[("task", "z")]), None);
        assert_eq!(scrape.value("b", &[]), None);
    }
}
