#![doc = include_str!("../README.md")]

pub mod arguments;
pub mod signals;
