//! The power cut's model, tried before it is trusted.

mod full_disk_model;
mod power_cut_model;
