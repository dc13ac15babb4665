//! What clap alone cannot say about a mistake: that it is in an environment variable, and what to type instead if a file name
//! is in the wrong place. Options and commands come from clap's own `Command`; none is listed here.

use std::{env, path::Path};

use clap::{
    Command, CommandFactory, Error,
    builder::{Resettable, StyledStr},
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{amount::is_cells, args::Cli};

/// How our environment variables begin.
const PREFIX: &str = "MXR_";

/// The command line as it is parsed: `-1` is a number, so that an option can say what is wrong with it.
pub(super) fn command() -> Command {
    Cli::command().mut_subcommands(|command| {
        command.mut_args(|arg| {
            let is_option = !arg.is_positional() && arg.get_action().takes_values();
            arg.allow_negative_numbers(is_option)
        })
    })
}

/// What a hook is told, and so a program that it starts, which may be mxr.
const OF_HOOKS: [&str; 3] = ["MXR_FEED", "MXR_AGE", "MXR_REASON"];

/// Adds the variable at fault, or a tip.
pub(super) fn explain(mut error: Error) -> Error {
    if let Some(variable) = variable_at_fault(&error) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    if let Some(tip) = tip(&error) {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

/// The variable whose value is invalid, if the command line without variables is valid.
fn variable_at_fault(error: &Error) -> Option<String> {
    let without_variables = command().mut_subcommands(|command| command.mut_args(|arg| arg.env(Resettable::Reset)));
    let is_valid_as_typed = without_variables.try_get_matches_from(env::args_os()).is_ok();
    variable(context(error, ContextKind::InvalidArg).filter(|_| is_valid_as_typed)?)
}

/// The variable of an option, given as clap writes it in an error: `--port <PORT>`.
pub(super) fn variable(option: &str) -> Option<String> {
    let long = option.strip_prefix("--")?.split([' ', '=', '.', '[']).next()?;
    Some(format!("{PREFIX}{}", long.replace('-', "_").to_uppercase()))
}

pub(super) fn context(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

/// What to type instead, if the word that clap rejected is the name of a file or a directory, or a word in the wrong place.
fn tip(error: &Error) -> Option<String> {
    let typed: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let existing = |name: &str| Path::new(name).exists().then(|| name.escape_debug().to_string());
    let has = |word: &str| typed.iter().any(|typed| typed == word);
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument if has("--when") && !has("--") => {
            Some("'--' ends the files of '--when', before the command".to_owned())
        }
        ErrorKind::UnknownArgument if has("--screen") && context(error, ContextKind::InvalidArg).is_some_and(is_cells) => {
            Some(format!("'--screen={}' says the size", context(error, ContextKind::InvalidArg)?))
        }
        ErrorKind::InvalidSubcommand if context(error, ContextKind::InvalidSubcommand).is_some_and(plays) => {
            Some("'mxr serve RECORDING' plays a recording".to_owned())
        }
        ErrorKind::InvalidSubcommand => {
            let name = context(error, ContextKind::InvalidSubcommand)?;
            let (is_folder, name) = (Path::new(name).is_dir(), existing(name)?);
            let replay = if is_folder { format!(", 'mxr serve {name}' replays the frames in it") } else { String::new() };
            Some(format!("'mxr watch {name}' pushes what changes{replay}"))
        }
        ErrorKind::UnknownArgument => {
            let name = existing(context(error, ContextKind::InvalidArg)?)?;
            match typed.first()?.as_str() {
                "stdin" => {
                    Some(format!("'mxr watch {name}' pushes that file whenever it changes, 'mxr stdin < {name}' pushes its lines"))
                }
                "doctor" => Some("'mxr doctor' looks at one feed or file at a time".to_owned()),
                _ => Some("'mxr watch' takes several files, 'mxr serve' one directory of frames or one recording".to_owned()),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let taken = typed.windows(2).find(|pair| pair[0] == "--token")?;
            existing(&taken[1]).map(|name| format!("'--token' took {name} as the token: put '--token' after the files"))
        }
        _ => None,
    }
}

/// The variables that begin as ours do and are none, each with the one that may be meant.
pub fn unknown_variables() -> Vec<(String, Option<String>)> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    // Nearly nobody sets one, and then the command line is not built a second time.
    if unknown.is_empty() {
        return Vec::new();
    }
    let command = command();
    let args = command.get_subcommands().flat_map(Command::get_arguments);
    let known: Vec<&str> = args.filter_map(|arg| arg.get_env()?.to_str()).chain(OF_HOOKS).collect();
    unknown.retain(|name| !known.contains(&name.as_str()));
    unknown.into_iter().map(|name| (name.clone(), nearest(&name, &known))).collect()
}

/// Whether a word is what other programs call it to play a recording.
fn plays(word: &str) -> bool {
    matches!(word, "play" | "replay" | "playback")
}

/// The known variable that looks most like this one, as clap finds the option that was meant.
fn nearest(unknown: &str, known: &[&str]) -> Option<String> {
    let after_prefix = |name: &str| name.trim_start_matches(PREFIX).to_uppercase();
    nearest_by(known, |name| strsim::jaro(&after_prefix(unknown), &after_prefix(name)))
}

/// The known word that looks most like this one.
pub(super) fn nearest_word(unknown: &str, known: &[&str]) -> Option<String> {
    nearest_by(known, |word| strsim::jaro(unknown, word))
}

/// The bound is clap's.
fn nearest_by(known: &[&str], likeness: impl Fn(&str) -> f64) -> Option<String> {
    let near = known.iter().map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness > 0.7);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_misspelt_is_near_to_the_one_that_is_meant() {
        let known = ["MXR_PORT", "MXR_HOST", "MXR_MAX_VIEWERS", "MXR_MAX_VIEWERS_PER_ADDRESS", "MXR_TOKEN"];
        for (typed, meant) in [("MXR_PROT", "MXR_PORT"), ("MXR_max_viewer", "MXR_MAX_VIEWERS"), ("MXR_TOKENS", "MXR_TOKEN")] {
            assert_eq!(nearest(typed, &known).as_deref(), Some(meant), "{typed}");
        }
        for typed in ["MXR_QQQ", "MXR_"] {
            assert_eq!(nearest(typed, &known), None, "{typed}");
        }
    }
}
