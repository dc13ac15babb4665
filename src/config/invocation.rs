//! What one command line asks for: to serve, to record, to check a file, to look at a feed, or to print completions. It leads each
//! command to its configuration.

use clap_complete::Shell;

use super::{Config, doctor::settings, log_options, record::RecordConfig, up::UpFile};
use crate::{
    cli::{Cli, Command},
    doctor::DoctorSettings,
    error::Result,
    terminal::LogOptions,
};

/// What the command line asks for.
pub enum Invocation {
    /// To serve: how to log, and the configuration, which is read once the log is there.
    Serve(LogOptions, Box<dyn FnOnce() -> Result<Config>>),
    /// To record, in the same way.
    Record(LogOptions, Box<dyn FnOnce() -> Result<RecordConfig>>),
    /// To check: how to log, and what to print if nothing is wrong.
    Check(LogOptions, Box<dyn FnOnce() -> Result<String>>),
    /// To look at a feed or a path.
    Doctor(Box<dyn FnOnce() -> Result<DoctorSettings>>),
    /// To print the completions of a shell.
    Completions(Shell),
}

impl Invocation {
    /// From the command line.
    pub fn of(cli: Cli) -> Self {
        let Cli { command, typed } = cli;
        match command {
            Command::Completions { shell } => Self::Completions(shell),
            Command::Record(record) => Self::Record(log_options(&record.log), Box::new(move || RecordConfig::of(record, &typed))),
            Command::Doctor(doctor) => Self::Doctor(Box::new(|| settings(doctor))),
            Command::Up(up) => {
                // The file may say how to log.
                let (is_check, log) = (up.check, log_options(&up.log));
                let file = UpFile::read(up.file, typed);
                let log = file.as_ref().map_or(log, |file| log_options(file.log()));
                match is_check {
                    true => Self::Check(log, Box::new(|| file.map(|file| file.summary()))),
                    false => Self::Serve(log, Box::new(|| file.map(UpFile::into_config))),
                }
            }
            command => {
                let log = command.log().map(log_options).unwrap_or_default();
                Self::Serve(log, Box::new(|| Config::of(command, typed)))
            }
        }
    }
}
