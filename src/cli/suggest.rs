//! What clap alone cannot tell of a mistake: that it is in a variable, and what is meant where the name of a file stands in the
//! wrong place.

use std::{env, path::Path};

use clap::{
    Command, CommandFactory, Error,
    builder::{Resettable, StyledStr},
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;

/// The command line as it is read: `-1` is a number, which an option then has its own words for.
pub(super) fn command() -> Command {
    Cli::command().mut_subcommands(|command| {
        command.mut_args(|arg| {
            let is_option = !arg.is_positional() && arg.get_action().takes_values();
            arg.allow_negative_numbers(is_option)
        })
    })
}

/// Adds what helps.
pub(super) fn explain(mut error: Error) -> Error {
    if let Some(variable) = variable_at_fault(&error) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    if let Some(tip) = tip(&error) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

/// The variable with the value that cannot be used, where what was typed can.
fn variable_at_fault(error: &Error) -> Option<String> {
    let without_variables = command().mut_subcommands(|command| command.mut_args(|arg| arg.env(Resettable::Reset)));
    let is_typed_well = without_variables.try_get_matches_from(env::args_os()).is_ok();
    variable(context(error, ContextKind::InvalidArg).filter(|_| is_typed_well)?)
}

/// The variable of an option, as an error has it: `--port <PORT>`.
fn variable(option: &str) -> Option<String> {
    let long = option.strip_prefix("--")?.split([' ', '=', '.']).next()?;
    Some(format!("MXR_{}", long.replace('-', "_").to_uppercase()))
}

fn context(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

/// What to type instead, where a file or a directory has the name that was not understood.
fn tip(error: &Error) -> Option<String> {
    let typed: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let there = |name: &str| Path::new(name).exists().then(|| name.escape_debug().to_string());
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = context(error, ContextKind::InvalidSubcommand)?;
            let (is_folder, name) = (Path::new(name).is_dir(), there(name)?);
            let replay = if is_folder { format!(", 'mxr serve {name}' replays the frames in it") } else { String::new() };
            Some(format!("'mxr watch {name}' pushes what changes{replay}"))
        }
        ErrorKind::UnknownArgument => {
            let name = there(context(error, ContextKind::InvalidArg)?)?;
            match typed.first()?.as_str() {
                "stdin" => Some(format!("'mxr watch {name}' pushes that file whenever it changes, 'mxr stdin < {name}' its lines")),
                _ => Some("'mxr watch' takes several files, 'mxr serve' one directory of frames".to_owned()),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let taken = typed.windows(2).find(|pair| pair[0] == "--token")?;
            there(&taken[1]).map(|name| format!("'--token' took {name} for the token: put '--token' behind the files"))
        }
        _ => None,
    }
}

/// The variables that begin as ours do and are none, each with the one that may be meant.
pub fn unknown_variables() -> Vec<(String, Option<String>)> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown: Vec<String> = names.filter(|name| name.starts_with("MXR_")).collect();
    // Nearly nobody sets one, and then the command line is not made once more.
    if !unknown.is_empty() {
        let command = command();
        let args = || command.get_subcommands().flat_map(Command::get_arguments);
        unknown.retain(|name| !args().any(|arg| arg.get_env().is_some_and(|known| known == name.as_str())));
    }
    unknown.into_iter().map(|name| (name.clone(), nearest(&name))).collect()
}

/// What clap would have proposed, had it been typed as an option.
fn nearest(unknown: &str) -> Option<String> {
    let option = format!("--{}", unknown.strip_prefix("MXR_")?.to_lowercase().replace('_', "-"));
    ["serve", "watch", "stdin"].iter().find_map(|name| {
        let error = command().try_get_matches_from(["mxr", name, &option]).err()?;
        variable(context(&error, ContextKind::SuggestedArg)?)
    })
}
