//! Completion scripts: those of clap, with what they lack for fish.

use clap::{Arg, CommandFactory, ValueHint};
use clap_complete::{Shell, generate};

use super::args::Cli;

/// The script for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "mxr", &mut script);
    if shell == Shell::Fish {
        script.extend(fish_arguments().into_bytes());
    }
    script
}

/// Arguments without an option, which clap's script for fish leaves to files.
fn fish_arguments() -> String {
    let root = Cli::command();
    let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    let line = |command: &str, words: &str| {
        let words = if words.is_empty() { String::new() } else { format!(" -a \"{words}\"") };
        format!("complete -c mxr -n \"__fish_mxr_using_subcommand {command}\" -f{words}\n")
    };
    let lines = root.get_subcommands().filter_map(|command| {
        let words = match command.get_positionals().next() {
            None => String::new(),
            Some(arg) if arg.get_value_hint() == ValueHint::DirPath => "(__fish_complete_directories)".to_owned(),
            Some(arg) => Some(words(arg)).filter(|words| !words.is_empty())?,
        };
        Some(line(command.get_name(), &words))
    });
    lines.chain([line("help", &names.join(" "))]).collect()
}

/// The words that an argument accepts; empty if it accepts any.
fn words(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    values.iter().map(|value| value.get_name()).collect::<Vec<_>>().join(" ")
}
