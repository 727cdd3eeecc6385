//! The power cut's model, tried before it is trusted.

mod power_cut_model;
