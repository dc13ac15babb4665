//! Options as the keys of a table in a file: each key is an option of a command, so it has that option's parser, default and
//! message, and a new option is a key at once. It knows the command line alone, neither TOML nor files.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, Command, Error, FromArgMatches,
    builder::Resettable,
    error::{ContextKind, ErrorKind},
};

use super::{
    args::{Cli, RANDOM_TOKEN, Typed},
    suggest::{command, context, nearest_word, variable},
};

/// The command that serves feeds of a file; its options are those of the whole server.
const SERVER: &str = "up";
/// Options of a source that make no sense in a table, with the reason.
const NOT_IN_TABLES: [(&str, &str); 2] =
    [("name", "the table has the name: [feed.NAME]"), ("exit-on-eof", "the other feeds go on; mxr ends with a signal")];

/// Options that are keys of both: below `[server]` they are for the feeds whose tables do not say otherwise.
const FOR_ALL_FEEDS: [&str; 3] = ["on-stale", "on-live", "stale-after"];

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValue {
    /// On or off.
    Switch(bool),
    /// One value, as it would be typed.
    Text(String),
    /// Several.
    List(Vec<String>),
}

/// Why a key or its value cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Misuse {
    /// The cause.
    pub cause: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The key at fault, where clap says that.
    pub key: Option<String>,
}

impl Misuse {
    fn new(cause: impl Into<String>, hint: Option<String>) -> Self {
        Self { cause: cause.into(), hint, key: None }
    }
}

/// The keys of one table.
#[derive(Debug, Clone)]
pub struct Keys {
    root: Command,
    /// The command whose options they are.
    name: String,
}

/// The commands that are sources, which are also keys: the value is what is typed after the command.
pub fn sources() -> Vec<String> {
    let has = |command: &Command, name: &str| command.get_arguments().any(|arg| arg.get_long() == Some(name));
    let is_source = |command: &&Command| has(command, "max-part") && has(command, "port");
    command().get_subcommands().filter(is_source).map(|command| command.get_name().to_owned()).collect()
}

impl Keys {
    /// The keys of a feed from this source.
    pub fn of_source(name: &str) -> Self {
        Self { root: command(), name: name.to_owned() }
    }

    /// The keys of the server.
    pub fn of_server() -> Self {
        Self::of_source(SERVER)
    }

    fn is_server(&self) -> bool {
        self.name == SERVER
    }

    fn args<'a>(&'a self, command: &'a str) -> impl Iterator<Item = &'a Arg> {
        let command = self.root.get_subcommands().find(move |other| other.get_name() == command);
        // `--check` is for one call.
        command.into_iter().flat_map(Command::get_arguments).filter(|arg| arg.get_long().is_some_and(|long| long != "check"))
    }

    /// The options that are keys here.
    fn own(&self) -> impl Iterator<Item = &Arg> {
        let is_ours = |arg: &&Arg| self.is_server() || !self.is_of_server(arg) && not_in_tables(arg).is_none();
        self.args(&self.name).filter(is_ours)
    }

    fn is_of_server(&self, arg: &Arg) -> bool {
        !arg.get_long().is_some_and(is_for_all_feeds) && self.args(SERVER).any(|other| other.get_id() == arg.get_id())
    }

    /// The option of this key.
    fn find(&self, key: &str) -> Option<&Arg> {
        self.own().find(|arg| arg.get_long() == Some(key))
    }

    /// Whether the command has an option of this name, be it a key here or not.
    pub fn has(&self, key: &str) -> bool {
        self.args(&self.name).any(|arg| arg.get_long() == Some(key))
    }

    /// The words of the command line for this key.
    ///
    /// # Errors
    /// If there is no such key, or if its value has another type.
    pub fn words(&self, key: &str, value: &KeyValue) -> Result<Vec<OsString>, Misuse> {
        let arg = self.find(key).ok_or_else(|| self.unknown(key))?;
        let flag = format!("--{key}");
        let with = |value: &str| OsString::from(format!("{flag}={value}"));
        let needs_value = arg.get_num_args().is_none_or(|count| count.min_values() > 0);
        let takes_values = arg.get_action().takes_values();
        match value {
            KeyValue::Switch(false) if !(takes_values && needs_value) => Ok(Vec::new()),
            KeyValue::Switch(true) if takes_values && !needs_value && !arg.is_require_equals_set() => Ok(vec![with(RANDOM_TOKEN)]),
            KeyValue::Switch(true) if !(takes_values && needs_value) => Ok(vec![flag.into()]),
            KeyValue::Switch(_) => Err(Misuse::new(format!("'{key}' takes a value, not true or false"), None)),
            KeyValue::Text(count) if matches!(arg.get_action(), ArgAction::Count) => {
                let count = count.parse::<usize>().ok().filter(|count| *count <= 2);
                let count = count.ok_or_else(|| Misuse::new(format!("'{key}' is a number from 0 to 2"), None))?;
                Ok(vec![flag.into(); count])
            }
            _ if !takes_values => Err(Misuse::new(format!("'{key}' is true or false"), None)),
            KeyValue::Text(text) => Ok(vec![with(text)]),
            KeyValue::List(list) if matches!(arg.get_action(), ArgAction::Append) => {
                Ok(list.iter().map(|text| with(text)).collect())
            }
            KeyValue::List(_) => Err(Misuse::new(format!("'{key}' takes one value, not a list"), None)),
        }
    }

    fn unknown(&self, key: &str) -> Misuse {
        let has = |command: &str| self.args(command).any(|arg| arg.get_long() == Some(key));
        if let Some((_, why)) = NOT_IN_TABLES.iter().find(|(name, _)| *name == key && has(&self.name)) {
            return Misuse::new(format!("'{key}' is no key of a feed"), Some((*why).to_owned()));
        }
        if !self.is_server() && has(SERVER) {
            return Misuse::new(format!("'{key}' is for the whole server"), Some("write it below [server]".to_owned()));
        }
        let sources = sources();
        let others: Vec<&str> = sources.iter().map(String::as_str).filter(|source| has(source)).collect();
        match (self.is_server(), &others[..]) {
            (true, [_, ..]) => Misuse::new(format!("'{key}' is for one feed"), Some("write it below a [feed.NAME]".to_owned())),
            (false, [_, ..]) => Misuse::new(
                format!("'{key}' does not go with '{}'", self.name),
                Some(format!("it goes with '{}'", others.join("' and '"))),
            ),
            _ => {
                let own = self.own().filter_map(Arg::get_long);
                let sources = sources.iter().map(String::as_str).filter(|_| !self.is_server());
                Misuse { key: None, ..unknown(key, &own.chain(sources).collect::<Vec<_>>()) }
            }
        }
    }

    /// Parses words of the command line that were made from keys. The variables of `off` do not count; `defaults` are the values of
    /// options that no word gives.
    ///
    /// # Errors
    /// What clap says.
    pub fn parse(&self, words: &[OsString], off: &[&str], defaults: &[(String, String)]) -> Result<Cli, Misuse> {
        let is_off = |arg: &Arg| {
            off.iter().any(|off| arg.get_long() == Some(*off))
                || !self.is_server() && (self.is_of_server(arg) || not_in_tables(arg).is_some())
        };
        let off: Vec<_> = self.args(&self.name).filter(|arg| is_off(arg)).map(|arg| arg.get_id().clone()).collect();
        let root = self.root.clone().mut_subcommand(&self.name, |command| {
            off.iter().fold(command, |command, id| command.mut_arg(id, |arg| arg.env(Resettable::Reset)))
        });
        let defaults: Vec<_> = defaults.iter().map(|(key, value)| (key, OsString::from(format!("--{key}={value}")))).collect();
        let words: Vec<OsString> = defaults.iter().map(|(_, word)| word).chain(words).cloned().collect();
        let argv = ["mxr".into(), OsString::from(&self.name)].into_iter().chain(words.iter().cloned());
        let matches = root.try_get_matches_from(argv).map_err(|error| misuse_of(error, &words))?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(|error| misuse_of(error, &words))?;
        cli.typed = matches.subcommand().map(|(_, matches)| Typed::of(matches)).unwrap_or_default();
        defaults.iter().for_each(|(key, _)| cli.typed.forget(key));
        Ok(cli)
    }
}

/// The message of clap on one line, without what it says about the command line.
fn misuse_of(mut error: Error, words: &[OsString]) -> Misuse {
    let option = context(&error, ContextKind::InvalidArg).map(str::to_owned);
    let key = option.as_deref().and_then(|option| option.strip_prefix("--")?.split([' ', '=', '.', '[']).next());
    let is_key = |key: &&str| words.iter().any(|word| word.to_str().is_some_and(|word| is_word_of(word, key)));
    let key = key.filter(is_key).map(str::to_owned);
    let is_of_value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
    if let Some(variable) = option.filter(|_| key.is_none() && is_of_value).as_deref().and_then(variable) {
        error.insert(ContextKind::InvalidArg, clap::error::ContextValue::String(variable));
    }
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default().split("\n\nFor more").next().unwrap_or_default();
    let (mut cause, mut hint) = (String::new(), None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.strip_prefix("tip: ") {
            Some(tip) => hint = hint.or_else(|| Some(tip.to_owned())),
            None if cause.is_empty() => line.strip_prefix("error: ").unwrap_or(line).clone_into(&mut cause),
            None => cause = format!("{cause} {line}"),
        }
    }
    Misuse { cause, hint, key }
}

fn is_word_of(word: &str, key: &str) -> bool {
    word.strip_prefix("--").and_then(|word| word.strip_prefix(key)).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

fn not_in_tables(arg: &Arg) -> Option<&'static str> {
    NOT_IN_TABLES.iter().find(|(name, _)| arg.get_long() == Some(name)).map(|(_, why)| *why)
}

/// Whether a key of the server is for the feeds whose tables do not say otherwise.
pub fn is_for_all_feeds(key: &str) -> bool {
    FOR_ALL_FEEDS.contains(&key)
}

/// A name that is none of these, with the one that may be meant.
pub fn unknown(name: &str, known: &[&str]) -> Misuse {
    let near = nearest_word(name, known).map(|near| format!("a similar one exists: '{near}'"));
    Misuse::new(format!("'{name}' is unknown here"), near)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str, key: &str, value: KeyValue) -> Result<Vec<OsString>, String> {
        Keys::of_source(source).words(key, &value).map_err(|misuse| misuse.cause)
    }

    #[test]
    fn a_value_becomes_the_words_that_would_be_typed() {
        let text = |text: &str| KeyValue::Text(text.to_owned());
        let list = |texts: &[&str]| KeyValue::List(texts.iter().map(|text| (*text).to_owned()).collect());
        for (command, key, value, expected) in [
            ("watch", "max-fps", text("2"), &["--max-fps=2"][..]),
            ("watch", "keep-same", KeyValue::Switch(true), &["--keep-same"]),
            ("watch", "keep-same", KeyValue::Switch(false), &[]),
            ("watch", "tail", list(&["*.txt", ""]), &["--tail=*.txt", "--tail="]),
            ("watch", "poll", KeyValue::Switch(true), &["--poll"]),
            ("watch", "poll", text("1s"), &["--poll=1s"]),
            ("up", "token", KeyValue::Switch(true), &["--token=random"]),
            ("up", "verbose", text("2"), &["--verbose", "--verbose"]),
        ] {
            assert_eq!(words(command, key, value).unwrap(), expected, "{key}");
        }
        for (command, key, value) in [
            ("watch", "max-fps", KeyValue::Switch(true)),
            ("watch", "max-fps", list(&["1", "2"])),
            ("watch", "keep-same", text("1")),
            ("up", "verbose", text("3")),
            ("up", "check", KeyValue::Switch(true)),
        ] {
            assert!(words(command, key, value.clone()).is_err(), "{key} = {value:?}");
        }
    }

    #[test]
    fn only_one_option_takes_a_value_or_none_in_two_words() {
        let command = command();
        let args = command.get_subcommands().flat_map(Command::get_arguments);
        let optional = |arg: &&Arg| arg.get_num_args().is_some_and(|count| count.min_values() == 0 && count.max_values() == 1);
        let two = args.filter(|arg| optional(arg) && arg.get_action().takes_values() && !arg.is_require_equals_set());
        assert!(two.filter_map(Arg::get_long).all(|long| long == "token"), "`Keys::words` knows the word for --token alone");
    }

    #[test]
    fn a_key_in_the_wrong_table_is_told_the_right_one() {
        for (command, key, cause, hint) in [
            ("watch", "port", "'port' is for the whole server", Some("write it below [server]")),
            ("up", "max-fps", "'max-fps' is for one feed", Some("write it below a [feed.NAME]")),
            ("watch", "fps", "'fps' does not go with 'watch'", Some("it goes with 'serve'")),
            ("watch", "max_fps", "'max_fps' is unknown here", Some("a similar one exists: 'max-fps'")),
            ("watch", "wacth", "'wacth' is unknown here", Some("a similar one exists: 'watch'")),
            ("watch", "name", "'name' is no key of a feed", Some("the table has the name: [feed.NAME]")),
            ("up", "prot", "'prot' is unknown here", Some("a similar one exists: 'port'")),
            ("up", "qqqqq", "'qqqqq' is unknown here", None),
        ] {
            let misuse = Keys::of_source(command).words(key, &KeyValue::Switch(true)).unwrap_err();
            assert_eq!((misuse.cause.as_str(), misuse.hint.as_deref()), (cause, hint), "{key}");
        }
    }
}
