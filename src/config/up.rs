//! The file of `mxr up`: each table becomes the command line that says the same, and that its configuration. So every option, its
//! default and its message is the one of the command line, and a new source or option is known here at once.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Notify;
use tracing::{error, warn};

use super::{
    Config, all_feeds, hook, recording,
    tables::{FileTable, Key, Mistake, Tables},
    variables::Variables,
};
use crate::{
    cli::{self, Cli, Command, KeyValue, Keys, Misuse, Typed},
    error::{Error, Result},
    file,
    source::{
        SourceStart,
        several::{self, Member, SeveralSettings},
    },
};

/// The largest file, in bytes: a larger one is none of ours.
const MOST_BYTES: u64 = 1 << 20;
/// The source that can be read only once.
const STDIN: &str = "stdin";
/// The command that is no source of one feed.
const HUB: &str = "hub";
/// The file of somebody who begins.
const EXAMPLE: &str = "two lines make a file: [feed.plot] and watch = \"plot.png\"";

/// A file without mistakes.
pub(super) struct UpFile {
    path: PathBuf,
    typed: Typed,
    log: cli::Log,
    /// The server's configuration, but for its source.
    server: Config,
    /// The keys of the server with their words.
    server_words: Vec<Words>,
    members: Vec<Member>,
}

/// A key with the words of the command line that say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words {
    key: String,
    line: usize,
    words: Vec<OsString>,
}

impl UpFile {
    /// Reads the file that the command line names.
    ///
    /// # Errors
    /// If it cannot be read; or every mistake in it, with its line.
    pub(super) fn read(path: PathBuf, typed: Typed) -> Result<Self> {
        let text = read(&path, |path| File::open(path))?;
        Self::of(&text, path, typed)
    }

    /// Reads it again, while feeds go on: what is no regular file, such as a FIFO without a writer, could hold them up for ever.
    fn read_again(path: PathBuf, typed: Typed) -> Result<Self> {
        let no_file = || io::Error::other("it is no regular file any more");
        let text = read(&path, |path| file::open_regular(None, path)?.ok_or_else(no_file))?;
        Self::of(&text, path, typed)
    }

    fn of(text: &str, path: PathBuf, typed: Typed) -> Result<Self> {
        let variables = Variables::default();
        let tables = Tables::read(text, &variables);
        let mut reader =
            TableReader { path: &path, variables, mistakes: tables.mistakes, for_all: Vec::new(), stdin: None, read: Vec::new() };
        if reader.mistakes.is_empty() && tables.feeds.is_empty() {
            reader.mistakes.push(Mistake::new(1, "there is no feed in it", Some(EXAMPLE)));
        }
        let (server, server_words) = reader.server(&tables.server, &typed);
        let members = tables.feeds.iter().filter_map(|table| reader.member(table)).collect();
        let read = std::mem::take(&mut reader.read);
        match (server, reader.error()) {
            (Some((server, log)), None) => {
                recording::check_not_read(server.record_to.as_ref(), &read)?;
                Ok(Self { typed, log, server, server_words, members, path })
            }
            (_, error) => Err(error.unwrap_or_else(|| Error::usage("use the file", "it has mistakes"))),
        }
    }

    /// How to log.
    pub(super) fn log(&self) -> &cli::Log {
        &self.log
    }

    /// What `--check` prints if nothing is wrong.
    pub(super) fn summary(&self) -> String {
        let (path, count) = (self.path.display(), self.members.len());
        format!("{path}: no mistakes, {count} feed{}\n", if count == 1 { "" } else { "s" })
    }

    /// The configuration, which is read again when `Config::reload` is told.
    pub(super) fn into_config(self) -> Config {
        let Self { path, typed, server, server_words, members, log: _ } = self;
        let reload = Arc::<Notify>::default();
        let read_again = Box::new(move || read_again(&path, &typed, &server_words));
        let settings = SeveralSettings { members, read_again, reload: reload.clone() };
        let source = SourceStart::new(|context| several::source(settings, &context));
        Config { source, reload: Some(reload), ..server }
    }
}

/// The members of a changed file; `None` if it has mistakes.
fn read_again(path: &Path, typed: &Typed, before: &[Words]) -> Option<Vec<Member>> {
    match UpFile::read_again(path.to_owned(), typed.clone()) {
        Ok(file) => {
            let keys = before.iter().chain(&file.server_words);
            let words = |list: &[Words], key: &str| list.iter().find(|words| words.key == key).map(|words| words.words.clone());
            let has_changed = |key: &&str| !cli::is_for_all_feeds(key) && words(before, key) != words(&file.server_words, key);
            let mut changed: Vec<&str> = keys.map(|words| words.key.as_str()).filter(has_changed).collect();
            changed.sort_unstable();
            changed.dedup();
            if !changed.is_empty() {
                warn!(?changed, "changes below [server] take effect when mxr is started again");
            }
            Some(file.members)
        }
        Err(mistakes) => {
            error!("the file was read again and is refused; the feeds go on as before: {mistakes:#}");
            None
        }
    }
}

fn read(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> Result<String> {
    let what = || format!("read {}", path.display());
    let mut text = String::new();
    let read = open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > MOST_BYTES => Err(Error::new(what(), "it is larger than 1 MiB")),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::new(what(), error).hint(EXAMPLE)),
        Err(error) => Err(Error::new(what(), error)),
    }
}

/// Turns tables into configurations, and collects the mistakes.
struct TableReader<'a> {
    path: &'a Path,
    variables: Variables,
    mistakes: Vec<Mistake>,
    /// The values of options that tables of feeds do not say.
    for_all: Vec<(String, String)>,
    /// The feed that reads standard input.
    stdin: Option<String>,
    /// Files and directories that are pushed.
    read: Vec<PathBuf>,
}

impl TableReader<'_> {
    /// The server's configuration, and its keys. What is typed wins over the file.
    fn server(&mut self, table: &FileTable, typed: &Typed) -> (Option<(Config, cli::Log)>, Vec<Words>) {
        let (keys, end) = (Keys::of_server(), cli::typed_words());
        let all = self.words(&keys, &table.keys);
        let not_typed = all.iter().filter(|words| !typed.has(&words.key.replace('-', "_"))).cloned().collect();
        let off = off(&table.keys);
        // A mistake that is of no key was typed, or is in a variable.
        let server = self.build(0, &keys, not_typed, &end, (&off, &[]), |Cli { command, typed }| {
            let Command::Up(up) = command else { return Err(Error::usage("use the file", "it is for mxr up")) };
            let nothing = SourceStart::new(|_| Ok(Box::pin(std::future::pending())));
            let hooks = hook::settings(up.hooks, None, &Typed::default())?;
            let feeds = all_feeds(&up.serving)?;
            let record_to = recording::record_to(up.recording, &typed)?;
            let server = Config::of_server(nothing, feeds, &up.serving, &up.access, &typed)?;
            Ok((Config { hooks, record_to, ..server.publishing(up.publish, &typed)?.publishing_several(true) }, up.log))
        });
        let hooks = server.as_ref().map(|(config, _)| config.hooks.clone()).unwrap_or_default();
        let after = server.is_some().then(|| humantime::format_duration(hooks.stale_after).to_string());
        let for_all = [("on-stale", hooks.on_stale), ("on-live", hooks.on_live), ("stale-after", after)];
        self.for_all = for_all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        (server, all)
    }

    /// The feed of a table.
    fn member(&mut self, table: &FileTable) -> Option<Member> {
        let sources = cli::sources();
        let (source, keys): (Vec<Key>, Vec<Key>) = table.keys.iter().cloned().partition(|key| sources.contains(&key.name));
        if let Some(hub) = source.iter().find(|key| key.name == HUB) {
            let hint = "run `mxr hub` beside this; with 'publish' below [server] these feeds are pushed into it";
            self.mistakes.push(Mistake::new(hub.line, "a hub is a server of its own, not a feed", Some(hint)));
            return None;
        }
        let is_demo = keys.iter().any(|key| key.name == "demo" && key.value == KeyValue::Switch(true));
        let (command, place) = match &source[..] {
            [source] => (source.name.as_str(), self.arguments(source)?),
            [] if table.unreadable.iter().any(|key| sources.contains(key)) => return None,
            [] if is_demo => ("serve", Vec::new()),
            [] => {
                self.without_source(table, &sources);
                return None;
            }
            [one, other, ..] => {
                let (line, names) = (one.line.max(other.line), format!("'{}' and '{}'", one.name, other.name));
                self.mistakes.push(Mistake::new(line, format!("{names} are two sources"), Some("a feed has one; make two tables")));
                return None;
            }
        };
        let line = source.first().map_or(table.line, |source| source.line);
        if command == STDIN
            && let Some(other) = self.stdin.replace(table.name.clone())
        {
            self.mistakes.push(Mistake::new(line, format!("the feed '{other}' reads standard input already"), None));
        }
        self.feed(table, line, command, &place, &keys)
    }

    /// Says that there is no source, or which key may have been meant to be it.
    fn without_source(&mut self, table: &FileTable, sources: &[String]) {
        let sources: Vec<&str> = sources.iter().map(String::as_str).filter(|source| *source != HUB).chain(["demo"]).collect();
        let is_known = |key: &&Key| sources.iter().any(|source| Keys::of_source(source).has(&key.name));
        let (known, unknown): (Vec<&Key>, Vec<&Key>) = table.keys.iter().partition(is_known);
        for key in unknown {
            self.misuse(key.line, cli::unknown(&key.name, &sources));
        }
        if known.len() == table.keys.len() {
            let hint = format!("one of these keys says where its parts come from: {}", sources.join(", "));
            self.mistakes.push(Mistake::new(table.line, format!("the feed '{}' has no source", table.name), Some(&hint)));
        }
    }

    /// What is typed after a source's command.
    fn arguments(&mut self, source: &Key) -> Option<Vec<OsString>> {
        let texts = match &source.value {
            KeyValue::Text(text) => vec![text.clone()],
            KeyValue::List(list) if ["watch", "relay"].contains(&source.name.as_str()) && list.len() > 1 => {
                let what = if source.name == "watch" { "path" } else { "URL" };
                let hint = format!("a table is one feed: make a table for each {what}");
                self.mistakes.push(Mistake::new(source.line, format!("'{}' takes one {what} here", source.name), Some(&hint)));
                return None;
            }
            KeyValue::List(list) if list.is_empty() => {
                self.mistakes.push(Mistake::new(source.line, format!("'{}' is an empty list", source.name), None));
                return None;
            }
            KeyValue::List(list) => list.clone(),
            KeyValue::Switch(true) => Vec::new(),
            KeyValue::Switch(false) => {
                self.mistakes.push(Mistake::new(source.line, "a source is not false", Some("remove the table of the feed")));
                return None;
            }
        };
        // What looks like an option is a name here.
        let separator = (!texts.is_empty()).then(|| "--".to_owned());
        Some(separator.into_iter().chain(texts).map(OsString::from).collect())
    }

    fn feed(&mut self, table: &FileTable, line: usize, command: &str, place: &[OsString], keys: &[Key]) -> Option<Member> {
        let of_source = Keys::of_source(command);
        let (words, off) = (self.words(&of_source, keys), off(keys));
        let is_open = |(key, _): &&(String, String)| words.iter().all(|words| words.key != *key);
        let defaults: Vec<_> = self.for_all.iter().filter(is_open).cloned().collect();
        let name = OsString::from(format!("--name={}", table.name));
        let end: Vec<OsString> = [name].into_iter().chain(place.iter().cloned()).collect();
        let spoken = words.iter().flat_map(|words| &words.words).chain(&end).map(|word| word.to_string_lossy().into_owned());
        let unspoken =
            off.iter().map(|off| format!("no {off}")).chain(defaults.iter().map(|(key, value)| format!("{key} {value}")));
        let identity = [command.to_owned()].into_iter().chain(spoken).chain(unspoken).collect();
        let config =
            self.build(line, &of_source, words, &end, (&off, &defaults), |Cli { command, typed }| Config::of(command, typed))?;
        self.read.extend(config.read);
        let (source, variables) = (config.source, self.variables.clone());
        let hide_values = move |error: Error| error.map(&|text| variables.hide_values(text));
        Some(Member {
            name: table.name.clone(),
            identity,
            media: config.media,
            limits: config.feeds.limits,
            interval: config.feeds.interval,
            hooks: config.hooks,
            is_stdin: command == STDIN,
            start: SourceStart::new(|context| source.start(context).map_err(hide_values)),
        })
    }

    /// The words of each key; a key that is none is a mistake.
    fn words(&mut self, keys: &Keys, own: &[Key]) -> Vec<Words> {
        let mut list = Vec::new();
        for Key { name, line, value } in own {
            match keys.words(name, value) {
                Ok(words) => list.push(Words { key: name.clone(), line: *line, words }),
                Err(misuse) => self.misuse(*line, misuse),
            }
        }
        list
    }

    /// Builds what the words say. After a mistake it goes on without the key at fault, to find the next one.
    fn build<T>(
        &mut self,
        table: usize,
        keys: &Keys,
        mut words: Vec<Words>,
        end: &[OsString],
        (off, defaults): (&[&str], &[(String, String)]),
        finish: impl Fn(Cli) -> Result<T>,
    ) -> Option<T> {
        let mut is_right = true;
        loop {
            let line: Vec<OsString> =
                words.iter().flat_map(|words| words.words.iter().cloned()).chain(end.iter().cloned()).collect();
            let result = keys.parse(&line, off, defaults).and_then(|cli| finish(cli).map_err(|error| misuse_of(&error)));
            let misuse = match result {
                Ok(built) => return is_right.then_some(built),
                Err(misuse) => misuse,
            };
            is_right = false;
            let at = words.iter().position(|words| Some(&words.key) == misuse.key.as_ref());
            self.misuse(at.map_or(table, |at| words[at].line), misuse);
            words.remove(at?);
        }
    }

    fn misuse(&mut self, line: usize, Misuse { cause, hint, .. }: Misuse) {
        self.mistakes.push(Mistake { line, cause, hint });
    }

    /// All mistakes as one error.
    fn error(mut self) -> Option<Error> {
        self.mistakes.sort_by_key(|mistake| mistake.line);
        let errors = self.mistakes.into_iter().map(|Mistake { line, cause, hint }| {
            let place = if line == 0 { "the options of the server".to_owned() } else { format!("{}:{line}", self.path.display()) };
            let error = Error::usage(format!("use {place}"), self.variables.hide_values(&cause));
            hint.iter().fold(error, |error, hint| error.hint(self.variables.hide_values(hint)))
        });
        errors.reduce(Error::and)
    }
}

/// The keys that are switched off, whose variables do not count.
fn off(keys: &[Key]) -> Vec<&str> {
    keys.iter().filter(|key| key.value == KeyValue::Switch(false)).map(|key| key.name.as_str()).collect()
}

/// The mistake that the configuration finds; it says the option.
fn misuse_of(error: &Error) -> Misuse {
    let sentence = error.sentence();
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    let key = sentence.split_once("--").map(|(_, rest)| rest.chars().take_while(|letter| is_name(*letter)).collect());
    let cause = sentence.strip_prefix("use ").map_or_else(|| format!("cannot {sentence}"), str::to_owned);
    Misuse { cause, hint: error.advice().map(str::to_owned), key }
}
