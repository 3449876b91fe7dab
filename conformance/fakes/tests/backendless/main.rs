//! The fake of Backendless Hive over real HTTP: held to the recorded exchanges and to the system's rules.

#![allow(clippy::unwrap_used, reason = "a panic in a helper fails the test that called it")]

mod application;
mod command;
mod keys;
mod listing;
mod recordings;
mod rules;
mod switches;
