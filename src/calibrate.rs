//! calibrate

pub mod table;
