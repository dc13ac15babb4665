//! The tables of a file in TOML: `[server]` and one `[feed.NAME]` for each feed, with the line of each key. It knows their form, and
//! no option.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::variables::Variables;
use crate::cli::{KeyValue, unknown};

/// A mistake in the file, in this line.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) cause: String,
    pub(super) hint: Option<String>,
}

impl Mistake {
    pub(super) fn new(line: usize, cause: impl Into<String>, hint: Option<&str>) -> Self {
        Self { line, cause: cause.into(), hint: hint.map(str::to_owned) }
    }
}

/// A table.
#[derive(Debug, Default)]
pub(super) struct FileTable {
    /// The feed's name.
    pub(super) name: String,
    /// The line in which it begins.
    pub(super) line: usize,
    /// Its keys, in alphabetical order.
    pub(super) keys: Vec<Key>,
    /// Keys whose values are mistakes.
    pub(super) unreadable: Vec<String>,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) value: KeyValue,
}

/// The tables of a file.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) server: FileTable,
    /// In the order of the file.
    pub(super) feeds: Vec<FileTable>,
    pub(super) mistakes: Vec<Mistake>,
}

const FEED_NAME: &str = "a feed is a table with a name, such as [feed.plot]";

impl Tables {
    /// Reads a text, with every mistake in its form.
    pub(super) fn read(text: &str, variables: &Variables) -> Self {
        let mut reader = Reader { text, variables, tables: Self::default() };
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            reader.read_root(root.get_ref());
        }
        for error in errors {
            let span = error.span().unwrap_or_default();
            let line = reader.line(span.clone());
            let again = text.get(span).filter(|_| error.message() == "duplicate key");
            let cause = again.map_or_else(|| error.message().to_owned(), |name| format!("'{name}' is here for the second time"));
            // One slip often makes the rest of its line another.
            if reader.tables.mistakes.iter().all(|mistake| mistake.line != line) {
                reader.mistake(line, cause, None);
            }
        }
        reader.tables
    }
}

struct Reader<'a> {
    text: &'a str,
    variables: &'a Variables,
    tables: Tables,
}

impl Reader<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
    }

    fn mistake(&mut self, line: usize, cause: impl Into<String>, hint: Option<&str>) {
        self.tables.mistakes.push(Mistake::new(line, cause, hint));
    }

    fn read_root(&mut self, root: &DeTable<'_>) {
        for (key, value) in root {
            let line = self.line(key.span());
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("server", DeValue::Table(table)) => {
                    self.tables.server = self.table(String::new(), line, table);
                }
                ("feed", DeValue::Table(feeds)) => self.read_feeds(feeds),
                ("feed", _) => self.mistake(line, "'feed' is no table", Some(FEED_NAME)),
                ("server", _) => self.mistake(line, "'server' is no table", Some("write [server] in a line of its own")),
                (key, DeValue::Table(_)) => {
                    let misuse = unknown(key, &["server", "feed"]);
                    self.mistake(line, misuse.cause, misuse.hint.as_deref());
                }
                (key, _) => {
                    let hint = "write it below [server], or below a [feed.NAME]";
                    self.mistake(line, format!("'{key}' is in no table"), Some(hint));
                }
            }
        }
    }

    fn read_feeds(&mut self, feeds: &DeTable<'_>) {
        let mut feeds: Vec<_> = feeds.iter().collect();
        feeds.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in feeds {
            let (name, line) = (key.get_ref().to_string(), self.line(key.span()));
            match value.get_ref() {
                DeValue::Table(table) => {
                    let table = self.table(name, line, table);
                    self.tables.feeds.push(table);
                }
                _ => self.mistake(line, format!("the feed '{name}' is no table"), Some(FEED_NAME)),
            }
        }
    }

    fn table(&mut self, name: String, line: usize, entries: &DeTable<'_>) -> FileTable {
        let mut table = FileTable { name, line, ..FileTable::default() };
        for (key, value) in entries {
            let (name, line) = (key.get_ref().to_string(), self.line(key.span()));
            match self.value(value.get_ref()) {
                Ok(value) => table.keys.push(Key { name, line, value }),
                Err(why) => {
                    self.mistake(line, format!("'{name}': {why}"), None);
                    table.unreadable.push(name);
                }
            }
        }
        table
    }

    fn value(&self, value: &DeValue<'_>) -> Result<KeyValue, String> {
        match value {
            DeValue::Boolean(is_on) => Ok(KeyValue::Switch(*is_on)),
            DeValue::Array(list) => list.iter().map(|one| self.text(one.get_ref())).collect::<Result<_, _>>().map(KeyValue::List),
            value => self.text(value).map(KeyValue::Text),
        }
    }

    fn text(&self, value: &DeValue<'_>) -> Result<String, String> {
        let is = |what: &str| Err(format!("the value is {what}, not a text, a number, or true or false"));
        match value {
            DeValue::String(text) => self.variables.expand(text),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
            DeValue::Integer(_) => Err("write the number without 0x, 0o or 0b".to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(_) => Err("a list has texts or numbers, not true or false".to_owned()),
            DeValue::Datetime(_) => is("a date"),
            DeValue::Array(_) => is("a list in a list"),
            DeValue::Table(_) => is("a table"),
        }
    }
}
