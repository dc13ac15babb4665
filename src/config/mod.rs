//! The validated configuration: `cli` says what can be typed, this module says what it means. Only `Config` goes further;
//! it knows no socket, no feed and no request.

mod access;
mod broker;
mod doctor;
mod exec;
mod hook;
mod hub;
pub mod invocation;
mod publish;
pub mod record;
mod recording;
mod relay;
mod serve;
mod tables;
mod up;
mod variables;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytesize::ByteSize;
use tokio::sync::Notify;

use crate::{
    cli::{self, Command, Common, LogFormat, Parts, Serving, Stdin, Typed, Watch},
    conn::{listen::ListenAddr, tls::Tls},
    error::{Error, Result},
    feed::{self, History, Limits, interval_at},
    format::Media,
    hooks::HookSettings,
    http,
    sink::{PublishSettings, RecordTo},
    source::{
        SourceStart, StreamParts,
        framing::{FramingSettings, split::Split},
        name_filter::NameFilter,
        screen::ScreenSize,
        stdin::{self, StdinSettings},
        watch::{self, TailSettings, WatchSettings},
    },
    terminal::LogOptions,
    wire::Boundary,
};

/// More threads than this only cost memory.
const MOST_THREADS: usize = 256;
/// Last lines of a log that are shown at first, unless the user sets another number: as many as tail(1) shows.
const FIRST_LINES: usize = 10;
/// The largest part of a feed of which nothing is said, in bytes.
const PART_BYTES: usize = 64 << 20;

/// Everything `run` needs to know.
#[derive(Debug)]
pub struct Config {
    /// Where parts come from.
    pub source: SourceStart,
    /// What its feeds have in common.
    pub feeds: feed::Settings,
    /// The type of every part, where the user gave one.
    pub media: Option<Media>,
    /// What runs when a feed becomes stale or live.
    pub hooks: HookSettings,
    /// What is recorded to, if to anything.
    pub record_to: Option<RecordTo>,
    /// Files and directories that are pushed, into which nothing can be recorded.
    read: Vec<PathBuf>,
    /// Where the feeds are published, if anywhere.
    pub publish: Option<PublishSettings>,
    /// What the only feed is called, where the user gave a name.
    pub name: Option<String>,
    /// Where to listen, unless systemd has opened a socket.
    pub place: ListenAddr,
    /// The option about the listen address that was typed, if any.
    pub typed_place: Option<&'static str>,
    /// How viewers are served.
    pub http: http::Options,
    /// Whether viewers from other machines need no token or password.
    pub is_public: bool,
    /// Viewers at once.
    pub max_viewers: usize,
    /// Viewers of one address at once, where that is less.
    pub max_viewers_per_address: Option<usize>,
    /// End when the source has ended.
    pub exit_at_end: bool,
    /// How the URL is shown beside standard output.
    pub show: Show,
    /// Told when the configuration is to be read again, if it is in a file.
    pub reload: Option<Arc<Notify>>,
}

/// How the URL is shown beside standard output.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    /// Open the page in the browser.
    pub in_browser: bool,
    /// Draw a QR code.
    pub as_qr: bool,
}

impl Config {
    /// From a command that is a source.
    ///
    /// # Errors
    /// If a value is invalid.
    fn of(command: Command, typed: Typed) -> Result<Self> {
        match command {
            Command::Serve(serve) => Self::serve(serve, typed),
            Command::Watch(watch) => Self::watch(watch, typed),
            Command::Stdin(stdin) => Self::stdin(stdin, typed),
            Command::Exec(exec) => Self::exec(exec, typed),
            Command::Relay(relay) => Self::relay(relay, typed),
            Command::Hub(hub) => Self::hub(hub, typed),
            Command::Up(_) | Command::Record(_) | Command::Doctor(_) | Command::Completions { .. } => {
                Err(Error::usage("use this command here", "it is no source"))
            }
        }
    }

    /// From `mxr watch`.
    ///
    /// # Errors
    /// If a value is invalid.
    fn watch(mut watch: Watch, typed: Typed) -> Result<Self> {
        if watch.paths.len() > 1 && watch.common.parts.name.take().is_some() && typed.has("name") {
            return Err(Error::usage("use --name with several paths", "their feeds are named after the files"));
        }
        if typed.has("glob") && watch.paths.iter().all(|path| path.is_file()) {
            return Err(Error::usage("use --glob", "it picks files in a directory, and none of the paths is one"));
        }
        let (names, tail) = (names(watch.glob)?, tail(watch.tail, watch.window, &watch.common.parts)?);
        if typed.has("window") && watch.paths.iter().all(|path| path.is_file() && !tail.covers_path(path)) {
            let error = Error::usage("use --window", "it makes parts of a log's last lines, and none of the paths is a log");
            return Err(
                error.hint("--tail with a pattern, such as --tail '*.txt', says which files are logs; the default is *.log")
            );
        }
        if watch.poll == Some(Duration::ZERO) {
            return Err(Error::usage("use --poll=0", "checking without a pause would keep a core busy"));
        }
        let (read, are_several) = (watch.paths.clone(), watch.paths.len() > 1);
        let settings = WatchSettings { paths: watch.paths, names, tail, settle: watch.settle, poll: watch.poll };
        let config = Self::new(SourceStart::new(|context| watch::source(settings, &context)), watch.common, typed)?;
        Ok(config.reading(read)?.publishing_several(are_several))
    }

    /// From `mxr stdin`.
    ///
    /// # Errors
    /// If a value is invalid.
    fn stdin(stdin: Stdin, typed: Typed) -> Result<Self> {
        check_screen(stdin.screen, &typed)?;
        let parts = stream_parts(stdin.screen, &stdin.split, stdin.window)?;
        let settings = StdinSettings { parts, tee: stdin.tee, needs_part: stdin.exit_on_eof };
        let start = SourceStart::new(move |context| stdin::source(&settings, &context));
        Ok(Self { exit_at_end: stdin.exit_on_eof, ..Self::new(start, stdin.common, typed)? })
    }

    fn new(source: SourceStart, common: Common, typed: Typed) -> Result<Self> {
        let Common { parts, hooks, recording, publish, serving, access, log: _ } = common;
        let mut config = Self::of_server(source, feeds(&parts, &serving)?, &serving, &access, &typed)?;
        (config.media, config.name) = (media(&parts)?, parts.name.as_deref().map(name).transpose()?);
        config.hooks = hook::settings(hooks, config.feeds.interval, &typed)?;
        config.record_to = recording::record_to(recording, &typed)?;
        config.publishing(publish, &typed)
    }

    /// Notes what is pushed, which must not be what is recorded to.
    fn reading(mut self, read: Vec<PathBuf>) -> Result<Self> {
        recording::check_not_read(self.record_to.as_ref(), &read)?;
        self.read = read;
        Ok(self)
    }

    /// Notes that parts come this far apart, if not further.
    fn expect_every(&mut self, interval: Duration) {
        self.hooks.interval = self.hooks.interval.max(Some(interval));
    }

    /// The configuration of the server, without what is said of single feeds.
    fn of_server(
        source: SourceStart,
        feeds: feed::Settings,
        serving: &Serving,
        access: &cli::AccessArgs,
        typed: &Typed,
    ) -> Result<Self> {
        check_unix(serving, typed)?;
        if typed.has("public") && access.has_secret() {
            let error = Error::usage("use --public with a password or a token", "one lets in everybody, the other does not");
            return Err(error.hint("drop one of them; it may come from a variable such as MXR_TOKEN"));
        }
        Ok(Self {
            source,
            media: None,
            hooks: HookSettings::default(),
            record_to: None,
            read: Vec::new(),
            publish: None,
            name: None,
            feeds,
            place: place(serving),
            typed_place: ["port", "host", "unix"].into_iter().find(|option| typed.has(option)),
            http: http_options(serving, access)?,
            is_public: access.public,
            max_viewers: serving.max_viewers,
            max_viewers_per_address: serving.max_viewers_per_address,
            exit_at_end: false,
            show: Show { in_browser: serving.open, as_qr: serving.qr },
            reload: None,
        })
    }
}

/// A Unix socket has a path, which is neither an address nor a URL.
fn check_unix(serving: &Serving, typed: &Typed) -> Result<()> {
    let reasons = [
        ("port", "a Unix socket has a path in place of a port"),
        ("host", "a Unix socket has a path in place of an address"),
        ("open", "a browser cannot open a Unix socket"),
        ("qr", "a phone cannot reach a Unix socket"),
    ];
    if serving.unix.is_none() && typed.has("unix_mode") {
        return Err(Error::usage("use --unix-mode", "there is no Unix socket").hint("--unix PATH creates one"));
    }
    match reasons.iter().find(|(option, _)| serving.unix.is_some() && typed.has(option)) {
        Some((option, why)) => Err(Error::usage(format!("use --{option} with --unix"), why)),
        None => Ok(()),
    }
}

fn place(serving: &Serving) -> ListenAddr {
    match &serving.unix {
        Some(path) => ListenAddr::Unix(path.clone(), serving.unix_mode),
        None => ListenAddr::Tcp(SocketAddr::new(serving.host, serving.port)),
    }
}

fn tls(serving: &Serving) -> Result<Option<Tls>> {
    let (Some(cert), Some(key)) = (&serving.tls_cert, &serving.tls_key) else { return Ok(None) };
    if serving.unix.is_some() {
        return Err(Error::usage("use --tls-cert with --unix", "a Unix socket needs no encryption"));
    }
    Tls::load(cert.clone(), key.clone()).map(Some)
}

fn http_options(serving: &Serving, access: &cli::AccessArgs) -> Result<http::Options> {
    if serving.stall_timeout < Duration::from_millis(100) {
        let what = format!("use --stall-timeout {}", humantime::format_duration(serving.stall_timeout));
        return Err(Error::usage(what, "less than 100ms would disconnect healthy viewers"));
    }
    if serving.max_viewers_per_address == Some(0) {
        return Err(Error::usage("use --max-viewers-per-address 0", "nobody could watch"));
    }
    if serving.max_viewers == 0 {
        return Err(Error::usage("use --max-viewers 0", "nobody could watch"));
    }
    if !(1..=MOST_THREADS).contains(&serving.threads) {
        return Err(Error::usage(format!("use --threads {}", serving.threads), format!("it must be from 1 to {MOST_THREADS}")));
    }
    Ok(http::Options {
        access: access::access(access)?,
        tls: tls(serving)?,
        hosts: access::hosts(access)?,
        sites: access::sites(access)?,
        prefix: access::prefix(access)?,
        trust_proxy: access.trust_proxy,
        keepalive: (!serving.keepalive.is_zero()).then_some(serving.keepalive),
        stall: serving.stall_timeout,
        push: None,
        published: None,
        may_quit: false,
        threads: serving.threads,
        ..http::Options::default()
    })
}

fn media(parts: &Parts) -> Result<Option<Media>> {
    let Some(text) = &parts.media else { return Ok(None) };
    let cannot =
        |why| Error::usage(format!("use --type {text:?}"), why).hint("a type looks like image/png or text/plain; charset=utf-8");
    Media::parse(text).map(Some).map_err(cannot)
}

/// The name of a feed.
fn name(name: &str) -> Result<String> {
    match feed::check_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(why) => Err(Error::usage(format!("use --name {name:?}"), why)),
    }
}

fn part_bytes(max_part: ByteSize) -> Result<usize> {
    let part_bytes = max_part.as_u64();
    if !(1024..=4 << 30).contains(&part_bytes) {
        return Err(Error::usage(format!("use --max-part {max_part}"), "it must be from 1K to 4G"));
    }
    // A machine of 32 bits holds one byte less than 4 GiB.
    Ok(usize::try_from(part_bytes).unwrap_or(usize::MAX))
}

fn feeds(parts: &Parts, serving: &Serving) -> Result<feed::Settings> {
    let part_bytes = part_bytes(parts.max_part)?;
    let interval = parts.max_fps.map(|fps| interval("--max-fps", fps)).transpose()?;
    if parts.history == Some(0) {
        return Err(Error::usage("use --history 0", "the newest part is always kept, so the minimum is 1"));
    }
    let limits = Limits::new(parts.history, part_bytes, parts.keep_same);
    Ok(feed::Settings { interval, limits, ..all_feeds(serving)? })
}

/// What all feeds of a process share, with the usual limits of each.
fn all_feeds(serving: &Serving) -> Result<feed::Settings> {
    let boundary = match serving.boundary.as_deref() {
        None => Boundary::random(),
        Some(token) => Boundary::parse(token).map_err(|why| Error::usage(format!("use --boundary {token:?}"), why))?,
    };
    let history = Arc::new(History::new(usize::try_from(serving.history_bytes.as_u64()).unwrap_or(usize::MAX)));
    let limits = Limits::new(None, PART_BYTES, false);
    Ok(feed::Settings { shards: serving.threads, history, ..feed::Settings::new(boundary, limits) })
}

fn interval(flag: &str, fps: f64) -> Result<Duration> {
    let interval = interval_at(fps).filter(|_| fps <= 1000.0);
    interval.ok_or_else(|| {
        Error::usage(format!("use {flag} {}", short(fps)), "the range is from one part a day to 1000 parts a second")
    })
}

/// A number without a hundred digits.
fn short(number: f64) -> String {
    if number == 0.0 || (1e-9..1e9).contains(&number.abs()) { number.to_string() } else { format!("{number:e}") }
}

fn names(glob: Option<String>) -> Result<NameFilter> {
    glob.map_or_else(|| Ok(NameFilter::default()), |glob| pattern("--glob", glob))
}

fn pattern(flag: &str, glob: String) -> Result<NameFilter> {
    let doing = format!("use {flag} {glob:?}");
    NameFilter::matching(glob).map_err(|error| Error::usage(doing, error))
}

/// The logs among the watched files.
fn tail(globs: Vec<String>, window: Option<usize>, parts: &Parts) -> Result<TailSettings> {
    check_window(window)?;
    // An empty pattern matches nothing.
    let globs = globs.into_iter().filter(|glob| !glob.is_empty());
    let names = globs.map(|glob| pattern("--tail", glob)).collect::<Result<_>>()?;
    let lines = parts.history.unwrap_or(FIRST_LINES).max(window.unwrap_or(1));
    Ok(TailSettings { names, lines, window })
}

fn check_screen(screen: Option<(usize, usize)>, typed: &Typed) -> Result<()> {
    match ["split", "window"].into_iter().find(|option| screen.is_some() && typed.has(option)) {
        Some(option) => {
            Err(Error::usage(format!("use --screen with --{option}"), "the part is the screen, whatever was written to it"))
        }
        None => Ok(()),
    }
}

/// How a stream becomes parts.
fn stream_parts(screen: Option<(usize, usize)>, split: &str, window: Option<usize>) -> Result<StreamParts> {
    Ok(match screen {
        Some((cols, rows)) => StreamParts::Screen(ScreenSize { cols, rows }),
        None => StreamParts::Split(framing(split, window)?),
    })
}

/// How a stream is split.
fn framing(how: &str, window: Option<usize>) -> Result<FramingSettings> {
    check_window(window)?;
    let split = Split::parse(how).map_err(|why| {
        let error = Error::usage(format!("use --split {how:?}"), why);
        match how {
            "jpg" | "mjpg" | "mjpeg" => error.hint("that is --split jpeg"),
            "line" => error.hint("that is --split lines"),
            _ => error,
        }
    })?;
    if window.is_some() && matches!(split, Split::Jpeg | Split::Png | Split::Multipart(_)) {
        return Err(Error::usage("use --window", format!("the parts of --split {how} are not lines")));
    }
    Ok(FramingSettings { split, window })
}

fn check_window(window: Option<usize>) -> Result<()> {
    match window {
        Some(0) => Err(Error::usage("use --window 0", "a part has at least one line")),
        _ => Ok(()),
    }
}

fn log_options(log: &cli::Log) -> LogOptions {
    let count = |count: u8| i8::try_from(count.min(2)).unwrap_or(2);
    LogOptions { level: count(log.verbose) - count(log.quiet), is_json: log.log_format == LogFormat::Json }
}
