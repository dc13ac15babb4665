//! The black-box tests, all in one program, so that the library is linked once: one module per subject, one sentence per test.
//! `cargo test --test it wire::` runs one module, `cargo test --test it a_viewer` the tests with these words in their names.
//! tests/allocations.rs is a program of its own, since it counts every allocation in its process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test may say what it measured, and why it is skipped")]
#![allow(unreachable_pub, reason = "nothing of a program is reachable from outside, and `pub` reads better")]

mod access;
mod browsers;
mod cli;
mod conformance;
mod cost;
mod cross_site_pushes;
mod demo;
mod dir;
mod docs;
mod doctor;
mod doctor_paths;
mod exec;
mod guesses;
mod hooks;
mod hostile;
mod hub;
mod killed_pushers;
mod layers;
mod link;
mod login;
mod metrics;
mod missed_events;
#[cfg(feature = "mqtt")]
mod mqtt_publish;
#[cfg(feature = "mqtt")]
mod mqtt_relay;
mod nginx;
mod overload;
mod page;
mod partial_writes;
mod playback;
mod processes;
mod programs;
mod publish;
mod publishers;
mod push_programs;
mod pushers;
mod readers;
mod real_files;
mod recipes;
mod recording;
mod refuse;
mod relay;
mod relay_dialects;
mod relay_faults;
mod relay_mxr;
mod requests;
mod resume;
mod routes;
mod screen;
mod sites;
mod slider;
mod soak;
mod split;
mod splitting;
mod stdin;
mod support;
mod survive;
mod systemd;
mod tail;
mod time_machine;
mod tls;
mod unix;
mod up;
mod upstreams;
mod viewers;
mod watch;
mod wire;
mod writers;
