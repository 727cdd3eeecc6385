//! Histograms that somebody else has counted.

use std::fmt;

use lakeferry_durable::Timed;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Counted durations under labels, or under none.
#[derive(Debug)]
pub enum TimedMetric<L> {
    /// One histogram.
    Alone(Timed),
    /// One for each label.
    Family(Vec<(L, Timed)>),
}

impl TimedMetric<NoLabelSet> {
    /// A histogram without labels.
    pub fn alone(timed: Timed) -> Self {
        Self::Alone(timed)
    }
}

impl<L: EncodeLabelSet> EncodeMetric for TimedMetric<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Alone(timed) => encode(&mut encoder, timed),
            Self::Family(all) => {
                all.iter().try_for_each(|(label, timed)| encode(&mut encoder.encode_family(label)?, timed))
            }
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Family(all) if all.is_empty())
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, timed: &Timed) -> fmt::Result {
    encoder.encode_histogram::<NoLabelSet>(timed.sum_s, timed.count(), &timed.steps, None)
}
