#![doc = include_str!("../README.md")]

#[allow(dead_code, reason = "the models that follow are built on it")]
mod model;
