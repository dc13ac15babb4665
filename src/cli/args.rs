//! Names, help texts and environment variables. A command is one variant of `Command`, with a struct for its own options that ends
//! in `common`.

#![allow(missing_docs, reason = "clap prints doc comments as help, so an item that shows no help has none")]

use std::{ffi::OsString, net::IpAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{ArgAction, ArgMatches, Args, Parser, Subcommand, ValueEnum, ValueHint, parser::ValueSource};
use clap_complete::Shell;

use super::{
    amount::{RecordedTime, Stretch, cells, count, milliseconds, moment, port, rate, seconds, size, stretch},
    split_words::SplitWords,
};

/// Turn what a program produces into a live push feed over HTTP, for any browser or <img>
#[derive(Debug, Parser)]
#[command(name = "mxr", version, max_term_width = 100)]
#[command(after_help = format!("{EXAMPLES}\n\n{POINTER}"), after_long_help = format!("{EXAMPLES}\n\n{ROUTES}"))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[arg(skip)]
    pub typed: Typed,
}

const EXAMPLES: &str = "\
Examples:
  mxr serve --demo                    the built-in demo
  mxr watch ./plot.png                push a picture whenever it changes
  tail -f log | mxr stdin             push each line
  mxr exec -- ping example.com        push what a command prints, while somebody watches
  mxr exec --when g.dot -- dot -Tsvg g.dot    push what a command makes of a file, whenever it changes
  mxr exec --every 2 -- nvidia-smi    push the output of a command, every two seconds
  mxr exec --screen -- htop           push the screen of a full-screen program
  mxr serve ./frames --fps 24         replay a directory of frames
  mxr serve day.mxr --speed 10        play a recording at its own times, here ten times as fast
  mxr relay http://camera/video       serve a camera to everybody, over one connection
  mxr watch plot.png --publish http://hub:8080/    show it there too, from behind NAT
  mxr hub                             serve what others push in: curl -T plot.png http://localhost:8080/snapshot/plot.png
  mxr up mxr.toml                     serve several feeds, as a file says
  mxr record http://camera/video -o cam.mxr   save the parts of a feed, with their times
  mxr doctor http://camera/video      say what is wrong with a feed, or that nothing is";

const POINTER: &str = "Open the printed URL in a browser, or use it in an <img>. `mxr --help` lists the routes.";

const ROUTES: &str = "\
Routes:
  /                  the viewer page for a browser, the feed for everything else
  /stream[/NAME]     the feed: multipart/x-mixed-replace, or multipart/mixed
                     if Accept asks for it
  /streams           all feeds on one connection; X-Feed names the part's feed
     ?fps=N          at most N parts a second
     ?parts=N        end after N parts
     ?history=N      begin with the last N parts
  /snapshot[/NAME]   the newest part as it is
     ?after=SEQ      wait for a newer one
     ?at=TIME        the part of that time (2026-11-29T13:34:00Z, -10m)
  /parts[/NAME]      JSON: the parts that are recorded or held
  /recording[/NAME]  the same as a file; ?last=30s, ?from=TIME&to=TIME
  /view              the viewer page, always
  /state             JSON: the feeds with their newest part, the viewers
  /metrics           metrics for Prometheus
  /healthz           200 while serving
  /quit              end the demo (only in the demo)
     ?token=T        on every route, if the server requires a token
  PUT /snapshot/NAME, POST /stream/NAME, DELETE /stream/NAME
                     push a part, push a stream, end a feed (only in the hub)
  POST /streams      push parts of several feeds, which X-Feed names (only in the hub)
  Aliases that other camera servers use: /?action=stream, /?action=snapshot,
  /stream.mjpg, /api/stream.mjpeg, /api/frame.jpeg

Exit status: 0 success, 1 failure, 2 wrong usage, 130 a second Ctrl-C; doctor: 1 something breaks a reader, 3 it could not look.";

/// The word that stands for a generated token.
pub const RANDOM_TOKEN: &str = "random";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play the built-in demo, a directory of frames, or a recording
    Serve(Serve),
    /// Push a file whenever it changes; for a directory, whichever file in it changed
    Watch(Watch),
    /// Push what arrives on standard input: lines, or concatenated pictures
    Stdin(Stdin),
    /// Push what a command prints, while somebody watches: one process for all viewers
    Exec(Exec),
    /// Serve feeds of other machines, each over one connection however many watch: cameras, pictures, other mxr
    Relay(RelayArgs),
    /// Serve what others push in over HTTP: curl, ffmpeg, a script, other mxr
    #[command(mut_arg("name", |arg| arg.hide(true)), mut_arg("stall_timeout", |arg| arg.help(HUB_STALL)))]
    Hub(HubArgs),
    /// Serve several feeds of any kind, as a file says
    Up(Up),
    /// Save the parts of feeds of other machines, with their times
    Record(RecordArgs),
    /// Say what is wrong with a feed or a file, or that nothing is
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// Shell to print the script for
        shell: Shell,
    },
}

impl Command {
    /// The options of the log.
    pub fn log(&self) -> Option<&Log> {
        match self {
            Self::Serve(serve) => Some(&serve.common.log),
            Self::Watch(watch) => Some(&watch.common.log),
            Self::Stdin(stdin) => Some(&stdin.common.log),
            Self::Exec(exec) => Some(&exec.common.log),
            Self::Relay(relay) => Some(&relay.common.log),
            Self::Hub(hub) => Some(&hub.common.log),
            Self::Up(up) => Some(&up.log),
            Self::Record(record) => Some(&record.log),
            Self::Doctor(_) | Self::Completions { .. } => None,
        }
    }
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Directory of frames, played in natural order (frame2 before frame10); or a recording, played at its own times: a file or a
    /// directory of segments that mxr made, a stream that curl saved, a file of JPEGs
    #[arg(value_name = "DIR|RECORDING", value_hint = ValueHint::AnyPath)]
    pub dir: Option<PathBuf>,
    /// Play the built-in demo (the default without DIR)
    #[arg(long, env = "MXR_DEMO", value_parser = switch, action = ArgAction::SetTrue)]
    pub demo: bool,
    /// Frames per second of DIR; in a RECORDING, of parts without a time
    #[arg(short = 'r', long, value_name = "N", default_value_t = 10.0, env = "MXR_FPS", value_parser = rate)]
    pub fps: f64,
    /// Play a RECORDING so many times as fast
    #[arg(long, value_name = "N", default_value_t = 1.0, env = "MXR_SPEED", value_parser = rate)]
    pub speed: f64,
    /// Begin a RECORDING with what it showed at this time: 2026-11-29T13:34:00Z, seconds since 1970, +5m from its first part, or -10m
    /// before its last
    #[arg(long, value_name = "TIME", env = "MXR_FROM", value_parser = moment, allow_hyphen_values = true)]
    pub from: Option<RecordedTime>,
    /// Play no part of a RECORDING that is later than this time, which is written as for --from
    #[arg(long, value_name = "TIME", env = "MXR_TO", value_parser = moment, allow_hyphen_values = true)]
    pub to: Option<RecordedTime>,
    /// Shorten pauses of a RECORDING that are longer than this, before --speed applies; 0 plays it without any pause
    #[arg(long, value_name = "TIME", env = "MXR_IDLE_LIMIT", value_parser = seconds)]
    pub idle_limit: Option<Duration>,
    /// Play once instead of in a loop that all share: frames once for each viewer, a RECORDING once for all, from the first viewer on
    #[arg(long, env = "MXR_ONCE", value_parser = switch, action = ArgAction::SetTrue)]
    pub once: bool,
    /// After the last frame, wait for new ones instead of starting over
    #[arg(long, env = "MXR_FOLLOW", value_parser = switch, action = ArgAction::SetTrue)]
    pub follow: bool,
    /// Only files whose name matches (* ? [a-z] {a,b}, negated by a leading !)
    #[arg(long, value_name = "PATTERN", env = "MXR_GLOB")]
    pub glob: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Watch {
    /// Files or directories to watch; several become several feeds, named after the files
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// In a directory, only files whose name matches (* ? [a-z] {a,b}, negated by a leading !)
    #[arg(long, value_name = "PATTERN", env = "MXR_GLOB")]
    pub glob: Option<String>,
    /// Files with such names are logs: a feed of lines each, the last ones first (as many as --history, else 10), then what is
    /// appended, like tail -F (repeatable; '' for none)
    #[arg(long, value_name = "PATTERN", default_value = "*.log", env = "MXR_TAIL")]
    pub tail: Vec<String>,
    /// Make each part of a log a document of its last N lines
    #[arg(long, value_name = "N", env = "MXR_WINDOW")]
    pub window: Option<usize>,
    /// How long a file must stay unchanged before it is pushed, if its writer was not seen to close it; a plain number is
    /// milliseconds
    #[arg(long, value_name = "TIME", default_value = "100ms", env = "MXR_SETTLE", value_parser = milliseconds)]
    pub settle: Duration,
    /// Check after each TIME (300ms; a plain number is milliseconds) instead of waiting for events; on network mounts mxr
    /// always checks
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "300ms", require_equals = true, env = "MXR_POLL",
          value_parser = milliseconds)]
    pub poll: Option<Duration>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Stdin {
    /// Where a part ends: auto, lines, nul, blank (empty lines), jpeg, png, multipart, or a SEPARATOR
    /// such as '\n---\n' or '\x1e'; auto recognizes pictures, multipart, SVG and HTML, cuts documents of
    /// --type at their ends, and takes anything else for lines
    #[arg(long, value_name = "HOW", default_value = "auto", env = "MXR_SPLIT", value_parser = SplitWords, hide_possible_values = true)]
    pub split: String,
    /// Make each part a document of the last N lines
    #[arg(long, value_name = "N", env = "MXR_WINDOW", value_parser = count)]
    pub window: Option<usize>,
    /// Write the input to a terminal that mxr emulates, of 80x24 cells or COLSxROWS; the part is what stands on its screen, with its
    /// colours, at most 30 a second
    #[arg(long, value_name = "COLSxROWS", num_args = 0..=1, default_missing_value = "80x24", require_equals = true,
          env = "MXR_SCREEN", value_parser = cells)]
    pub screen: Option<(usize, usize)>,
    /// Also copy the input to standard output, after the URLs; if nobody reads that, the input waits after 16 MiB
    #[arg(long, env = "MXR_TEE", value_parser = switch, action = ArgAction::SetTrue)]
    pub tee: bool,
    /// Exit when the input has ended and viewers have its last parts, instead of serving them until Ctrl-C
    #[arg(long, env = "MXR_EXIT_ON_EOF", value_parser = switch, action = ArgAction::SetTrue)]
    pub exit_on_eof: bool,
    #[command(flatten)]
    pub common: Common,
}

const EXEC_EXAMPLES: &str = "\
Examples:
  mxr exec -- ping example.com               each line of its output
  mxr exec -- sh -c 'dmesg -w | grep usb'    what a shell reads
  mxr exec --every 2 -- nvidia-smi           the whole output, every two seconds
  mxr exec --when g.dot -- dot -Tsvg g.dot   and whenever a file has changed
  mxr exec --screen=120x40 -- htop           a full-screen program";

#[derive(Debug, Args)]
#[command(override_usage = "mxr exec [OPTIONS] [--] <CMD>...", after_help = EXEC_EXAMPLES)]
pub struct Exec {
    /// Command and its arguments, which no shell reads; mxr's own options come before it
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
    /// Where a part of its standard output ends: auto, lines, nul, blank (empty lines), jpeg, png, multipart, or a SEPARATOR
    /// such as '\n---\n' or '\x1e', as for `mxr stdin`
    #[arg(long, value_name = "HOW", default_value = "auto", env = "MXR_SPLIT", value_parser = SplitWords, hide_possible_values = true)]
    pub split: String,
    /// Make each part a document of the last N lines
    #[arg(long, value_name = "N", env = "MXR_WINDOW", value_parser = count)]
    pub window: Option<usize>,
    /// Run the command to its end every TIME (seconds without a unit), and make its whole output one part: text with its
    /// colours, JSON, a picture; an output that did not change is not pushed
    #[arg(long, value_name = "TIME", env = "MXR_EVERY", value_parser = seconds)]
    pub every: Option<Duration>,
    /// Run the command to its end once, and again whenever one of these files has changed and is whole (of a directory, whichever
    /// file in it); its whole output is one part. `--` ends the list
    #[arg(long, value_name = "PATH", num_args = 1.., env = "MXR_WHEN", value_hint = ValueHint::AnyPath)]
    pub when: Vec<PathBuf>,
    /// Push this file after each run of --every or --when, in place of the output of the command
    #[arg(long, value_name = "FILE", env = "MXR_OUTPUT", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// End a run of --every or --when that takes longer than this
    #[arg(long, value_name = "TIME", env = "MXR_TIMEOUT", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Let the command see a terminal of 80x24 instead of a pipe, so that it prints line by line and in colour
    #[arg(long, env = "MXR_PTY", value_parser = switch, action = ArgAction::SetTrue)]
    pub pty: bool,
    /// Run the command in a terminal that mxr emulates, of 80x24 cells or COLSxROWS; the part is what stands on its screen, with
    /// its colours, at most 30 a second
    #[arg(long, value_name = "COLSxROWS", num_args = 0..=1, default_missing_value = "80x24", require_equals = true,
          env = "MXR_SCREEN", value_parser = cells)]
    pub screen: Option<(usize, usize)>,
    /// Where its standard error goes
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Stderr::Inherit, env = "MXR_STDERR")]
    pub stderr: Stderr,
    /// Start the command at once, and keep it running while nobody watches
    #[arg(long, env = "MXR_ALWAYS", value_parser = switch, action = ArgAction::SetTrue)]
    pub always: bool,
    /// Whether to start the command again when it ends by itself, after a pause of 1 second that doubles up to a minute (from 1
    /// second again after a run of 10 seconds); it is never started while nobody watches
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = RestartWhen::No, env = "MXR_RESTART")]
    pub restart: RestartWhen,
    /// How long the command goes on after the last viewer has left; a snapshot counts as a viewer
    #[arg(long, value_name = "TIME", default_value = "10s", env = "MXR_LINGER", value_parser = seconds)]
    pub linger: Duration,
    /// How long the command has to end after SIGTERM, before SIGKILL; both are for all processes that it started
    #[arg(long, value_name = "TIME", default_value = "5s", env = "MXR_KILL_AFTER", value_parser = seconds)]
    pub kill_after: Duration,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stderr {
    /// To the standard error of mxr
    Inherit,
    /// Into the feed, with the standard output
    Merge,
    /// Into a second feed of lines, NAME-stderr
    Feed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RestartWhen {
    /// Never: the feed ends, and its last parts stay
    No,
    /// Unless its exit status is 0
    OnFailure,
    /// Always
    Always,
}

#[derive(Debug, Args)]
pub struct RelayArgs {
    /// Feeds of other machines: multipart in any dialect, a picture or document that is asked for again and again, text that goes on
    /// as lines, or the root of another mxr with all its feeds; user and password may stand in the URL as http://user:password@host/
    #[cfg_attr(feature = "mqtt", doc = "")]
    #[cfg_attr(
        feature = "mqtt",
        doc = "mqtt://USER@BROKER/PREFIX/# reads all topics below PREFIX of an MQTT broker (mqtts:// with TLS), mqtt://BROKER/TOPIC one, all \
               the time, whoever watches: --every, --linger and --upstream-header are for other URLs"
    )]
    #[arg(value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub urls: Vec<String>,
    /// Ask for a plain picture or document again after this time; while it stays the same, nothing is pushed
    #[arg(long, value_name = "TIME", default_value = "1s", env = "MXR_EVERY", value_parser = seconds)]
    pub every: Duration,
    /// How long an upstream is read after the last viewer has left; a snapshot counts as a viewer
    #[arg(long, value_name = "TIME", default_value = "10s", env = "MXR_LINGER", value_parser = seconds)]
    pub linger: Duration,
    /// Read the upstream at once, and also while nobody watches
    #[arg(long, env = "MXR_ALWAYS", value_parser = switch, action = ArgAction::SetTrue)]
    pub always: bool,
    #[command(flatten)]
    pub upstream: UpstreamArgs,
    #[command(flatten)]
    pub common: Common,
}

const HUB_STALL: &str = "\
Disconnect a viewer that reads nothing, or a pusher that sends nothing, for this long: 500ms, 2s, 1m, 1h, or a number of seconds";

const HUB_EXAMPLES: &str = "\
Pushing:
  curl -T plot.png http://localhost:8080/snapshot/plot.png
  ffmpeg -i in.mp4 -f mpjpeg -method POST http://localhost:8080/stream/film
  make 2>&1 | curl -T - -X POST -H 'Content-Type: text/plain' http://localhost:8080/stream/make

A token is shown as -H 'Authorization: Bearer TOKEN', as ?token=TOKEN behind the URL, or as the password of any user.";

#[derive(Debug, Args)]
#[command(after_help = HUB_EXAMPLES)]
pub struct HubArgs {
    /// Names that feeds may have, as a pattern such as 'lab/*' (repeatable) [default: any]
    #[arg(long, value_name = "GLOB", env = "MXR_ALLOW")]
    pub allow: Vec<String>,
    /// Most feeds at once; pushing under a further name gets 429
    #[arg(long, value_name = "N", default_value_t = 256, env = "MXR_MAX_FEEDS", value_parser = count)]
    pub max_feeds: usize,
    /// Remove a feed that nobody has pushed into for this long; 0 keeps it
    #[arg(long, value_name = "TIME", default_value = "10m", env = "MXR_EXPIRE", value_parser = seconds)]
    pub expire: Duration,
    /// Require this token to push; beyond loopback one is generated unless there is one; prefer MXR_PUSH_TOKEN, since other users of
    /// this machine see the command line
    #[arg(long, value_name = "TOKEN", env = "MXR_PUSH_TOKEN", hide_env_values = true)]
    pub push_token: Option<String>,
    /// Read tokens to push from this file of lines TOKEN, or TOKEN GLOB for feeds whose names match
    #[arg(long, value_name = "FILE", env = "MXR_PUSH_TOKEN_FILE", value_hint = ValueHint::FilePath)]
    pub push_token_file: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

/// How upstreams are asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Upstream")]
pub struct UpstreamArgs {
    /// Read user and password for the upstream from this file, a line USER:PASSWORD; other users of this machine see the command line
    #[arg(long, value_name = "FILE", env = "MXR_UPSTREAM_AUTH_FILE", value_hint = ValueHint::FilePath)]
    pub upstream_auth_file: Option<PathBuf>,
    /// Send this header to the upstream, or with @FILE those in a file, one a line (repeatable); a secret belongs in a file or in
    /// MXR_UPSTREAM_HEADER
    #[arg(long, value_name = "NAME: VALUE", env = "MXR_UPSTREAM_HEADER", hide_env_values = true)]
    pub upstream_header: Vec<String>,
    /// Believe the certificates in this file (PEM), of authorities or of the upstream itself, in place of the system's
    #[arg(long, value_name = "FILE", env = "MXR_UPSTREAM_CA", value_hint = ValueHint::FilePath)]
    pub upstream_ca: Option<PathBuf>,
    /// Believe every certificate of an https upstream: whoever is on the way can read and change everything
    #[arg(long, env = "MXR_UPSTREAM_INSECURE", value_parser = switch, action = ArgAction::SetTrue)]
    pub upstream_insecure: bool,
    /// Connect to this Unix socket, whatever host the URL names
    #[arg(long, value_name = "PATH", env = "MXR_UPSTREAM_UNIX", value_hint = ValueHint::FilePath)]
    pub upstream_unix: Option<PathBuf>,
    /// Give a connection up, and make a new one, after this long without a byte or without a whole part
    #[arg(long, value_name = "TIME", default_value = "10s", env = "MXR_UPSTREAM_TIMEOUT", value_parser = seconds)]
    pub upstream_timeout: Duration,
}

const DOCTOR_STATUS: &str = "\
Exit status: 0 nothing found that breaks a reader, 1 something that does, 2 wrong usage, 3 it could not look.
docs/doctor.md lists every finding, and what the JSON holds.";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_STATUS)]
pub struct DoctorArgs {
    /// Feed of another machine, http or https, as `mxr relay` takes it; or a file or directory, as `mxr watch` takes it
    #[arg(value_name = "URL|PATH", value_hint = ValueHint::AnyPath)]
    pub subject: OsString,
    /// How long to read a feed
    #[arg(long = "for", value_name = "TIME", default_value = "10s", env = "MXR_FOR", value_parser = seconds)]
    pub read_for: Duration,
    /// Print JSON, whose schema docs/doctor.md states
    #[arg(long, env = "MXR_JSON", value_parser = switch, action = ArgAction::SetTrue)]
    pub json: bool,
    #[command(flatten)]
    pub upstream: UpstreamArgs,
}

const FILE_EXAMPLE: &str = "\
A file:
  [server]
  port = 8080

  [feed.loss]
  watch = \"runs/loss.png\"

  [feed.gpu]
  exec = [\"nvidia-smi\"]
  every = \"2s\"
  on-stale = \"logger $MXR_FEED: $MXR_REASON\"

  [feed.door]
  relay = \"http://user:${DOOR_PASSWORD}@10.0.0.7/video\"

${NAME} in a value is an environment variable, $${ stands for ${.";

#[derive(Debug, Args)]
#[command(after_help = FILE_EXAMPLE)]
pub struct Up {
    /// File in TOML with a table feed.NAME for each feed, whose keys are the names of options, and a table server; read again
    /// at SIGHUP
    #[arg(value_name = "FILE", default_value = "mxr.toml", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Say what is wrong in the file, or that nothing is, and exit
    #[arg(long, env = "MXR_CHECK", value_parser = switch, action = ArgAction::SetTrue)]
    pub check: bool,
    #[command(flatten)]
    pub hooks: HookArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub publish: PublishArgs,
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub log: Log,
}

const RECORD_EXAMPLES: &str = "\
Examples:
  mxr record http://camera/video -o cam.mxr                 one file
  mxr record http://hub:8080/ -o days/ --keep 7d            all feeds of another mxr, for a week
  mxr record http://camera/video -o cam.mxr --for 10m       ten minutes of it
  mxr record http://camera/video --frames pictures/         each picture in a file of its own";

#[derive(Debug, Args)]
#[command(after_help = RECORD_EXAMPLES)]
pub struct RecordArgs {
    /// Feeds of other machines, as `mxr relay` takes them; a picture or document is asked for again and again, and the root of
    /// another mxr stands for all its feeds
    #[arg(value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub urls: Vec<String>,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", env = "MXR_FOR", value_parser = seconds)]
    pub record_for: Option<Duration>,
    /// Ask for a plain picture or document again after this time; while it stays the same, nothing is recorded
    #[arg(long, value_name = "TIME", default_value = "1s", env = "MXR_EVERY", value_parser = seconds)]
    pub every: Duration,
    /// What the feed is called [default: the name of the host]
    #[arg(long, value_name = "NAME", env = "MXR_NAME")]
    pub name: Option<String>,
    /// Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger parts are skipped
    #[arg(long, value_name = "SIZE", default_value = "64M", env = "MXR_MAX_PART", value_parser = size)]
    pub max_part: ByteSize,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub upstream: UpstreamArgs,
    #[command(flatten)]
    pub log: Log,
}

/// The options that every source shares.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    pub parts: Parts,
    #[command(flatten)]
    pub hooks: HookArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub publish: PublishArgs,
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub log: Log,
}

/// The options on the command line. A variable in the environment is for every command that can use it; an option that was
/// typed and cannot be used is a mistake.
#[derive(Debug, Clone, Default)]
pub struct Typed(Vec<String>);

impl Typed {
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let is_typed = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        Self(matches.ids().filter(is_typed).map(ToString::to_string).collect())
    }

    /// These options were typed.
    #[cfg(test)]
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Has an option, given by its name, count as not typed.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.retain(|typed| *typed != name.replace('-', "_"));
    }

    /// Whether this option was typed, by the name of its field.
    pub fn has(&self, option: &str) -> bool {
        self.0.iter().any(|typed| typed == option)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Parts")]
pub struct Parts {
    /// Media type of every part [default: guessed from the name, else from the content; lines are text/plain]
    #[arg(short = 't', long = "type", value_name = "MIME", env = "MXR_TYPE")]
    pub media: Option<String>,
    /// What the feed is called, in /stream/NAME, in /state and on the page [default: the name of the file, command or host; stdin; demo]
    #[arg(long, value_name = "NAME", env = "MXR_NAME")]
    pub name: Option<String>,
    /// At most N parts per second: the newest of each interval, and always the last one
    #[arg(long, value_name = "N", env = "MXR_MAX_FPS", value_parser = rate)]
    pub max_fps: Option<f64>,
    /// Push a part even if it is identical to the one before
    #[arg(long, env = "MXR_KEEP_SAME", value_parser = switch, action = ArgAction::SetTrue)]
    pub keep_same: bool,
    /// Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger pictures and files are skipped
    #[arg(long, value_name = "SIZE", default_value = "64M", env = "MXR_MAX_PART", value_parser = size)]
    pub max_part: ByteSize,
    /// Parts kept for viewers that ask for ?history=N, including the newest [default: 1; 10000 for lines]
    #[arg(long, value_name = "N", env = "MXR_HISTORY", value_parser = count)]
    pub history: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Hooks")]
pub struct HookArgs {
    /// Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds)
    /// and MXR_REASON in its environment
    #[arg(long, value_name = "CMD", env = "MXR_ON_STALE", value_hint = ValueHint::CommandString)]
    pub on_stale: Option<String>,
    /// Run this in the same way when the feed is live again
    #[arg(long, value_name = "CMD", env = "MXR_ON_LIVE", value_hint = ValueHint::CommandString)]
    pub on_live: Option<String>,
    /// How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top
    #[arg(long, value_name = "TIME", default_value = "30s", env = "MXR_STALE_AFTER", value_parser = seconds)]
    pub stale_after: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Recording")]
pub struct RecordingArgs {
    /// Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if
    /// it is one, ends with /, or --segment or --keep is given. What is recorded does not rest
    #[arg(short = 'o', long, value_name = "FILE|DIR", env = "MXR_RECORD", value_hint = ValueHint::AnyPath)]
    pub record: Option<PathBuf>,
    /// Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep,
    /// else never]
    #[arg(long, value_name = "TIME|SIZE", env = "MXR_SEGMENT", value_parser = stretch)]
    pub segment: Option<Stretch>,
    /// Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K
    /// on; only files that mxr has recorded, and never the newest
    #[arg(long, value_name = "TIME|SIZE", env = "MXR_KEEP", value_parser = stretch)]
    pub keep: Option<Stretch>,
    /// Write each part to a file of its own in this directory, named by time, feed and type
    #[arg(long, value_name = "DIR", env = "MXR_FRAMES", value_hint = ValueHint::DirPath)]
    pub frames: Option<PathBuf>,
}

/// What Home Assistant makes of pictures.
#[cfg(feature = "mqtt")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MqttDiscovery {
    /// A camera
    Camera,
    /// An image, which has the time of its last change
    Image,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Publishing")]
pub struct PublishArgs {
    /// Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached;
    /// what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded
    #[cfg_attr(feature = "mqtt", doc = "")]
    #[cfg_attr(
        feature = "mqtt",
        doc = "mqtt://USER@BROKER/PREFIX publishes to the topics PREFIX/NAME of an MQTT broker (mqtts:// with TLS)"
    )]
    #[arg(long, value_name = "URL", env = "MXR_PUBLISH", hide_env_values = true, value_hint = ValueHint::Url)]
    pub publish: Option<String>,
    /// What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]
    #[arg(long, value_name = "NAME", env = "MXR_PUBLISH_NAME")]
    pub publish_name: Option<String>,
    /// Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the
    /// command line
    #[arg(long, value_name = "TOKEN", env = "MXR_PUBLISH_TOKEN", hide_env_values = true)]
    pub publish_token: Option<String>,
    /// Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD
    #[arg(long, value_name = "FILE", env = "MXR_PUBLISH_TOKEN_FILE", value_hint = ValueHint::FilePath)]
    pub publish_token_file: Option<PathBuf>,
    /// Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system's
    #[arg(long, value_name = "FILE", env = "MXR_PUBLISH_CA", value_hint = ValueHint::FilePath)]
    pub publish_ca: Option<PathBuf>,
    /// Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything
    #[arg(long, env = "MXR_PUBLISH_INSECURE", value_parser = switch, action = ArgAction::SetTrue)]
    pub publish_insecure: bool,
    /// Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery
    #[cfg(feature = "mqtt")]
    #[arg(
        long,
        value_name = "KIND",
        env = "MXR_MQTT_DISCOVERY",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "camera"
    )]
    pub mqtt_discovery: Option<MqttDiscovery>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Serving")]
pub struct Serving {
    /// Port to listen on; 0 picks a free one
    #[arg(short = 'p', long, value_name = "PORT", default_value_t = 8080, env = "MXR_PORT", value_parser = port)]
    pub port: u16,
    /// Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or
    /// --public is given
    #[arg(short = 'H', long, value_name = "ADDRESS", default_value = "127.0.0.1", env = "MXR_HOST", value_parser = host)]
    pub host: IpAddr,
    /// Listen on a Unix socket at this path instead, for a proxy on this machine
    #[arg(short = 'U', long, value_name = "PATH", env = "MXR_UNIX")]
    pub unix: Option<PathBuf>,
    /// Permissions of the Unix socket, in octal; connecting takes write permission
    #[arg(long, value_name = "MODE", default_value = "600", env = "MXR_UNIX_MODE", value_parser = mode)]
    pub unix_mode: u32,
    /// Serve https with the certificates in this file (PEM, the server's own first); reloaded when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "MXR_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of that certificate (PEM); refused if every user of this machine can read it
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "MXR_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Maximum number of viewers at once; further ones get 503
    #[arg(short = 'm', long, value_name = "N", default_value_t = 10_000, env = "MXR_MAX_VIEWERS", value_parser = count)]
    pub max_viewers: usize,
    /// Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]
    #[arg(long, value_name = "N", env = "MXR_MAX_VIEWERS_PER_ADDRESS", value_parser = count)]
    pub max_viewers_per_address: Option<usize>,
    /// Disconnect a viewer that reads nothing for this long: 500ms, 2s, 1m, 1h, or a number of seconds
    #[arg(long, value_name = "TIME", default_value = "30s", env = "MXR_STALL_TIMEOUT", value_parser = seconds)]
    pub stall_timeout: Duration,
    /// Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it
    #[arg(long, value_name = "TIME", default_value = "5s", env = "MXR_KEEPALIVE", value_parser = seconds)]
    pub keepalive: Duration,
    /// Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first
    #[arg(long, value_name = "SIZE", default_value = "256M", env = "MXR_HISTORY_BYTES", value_parser = size)]
    pub history_bytes: ByteSize,
    /// Boundary between parts, for readers that expect a certain one [default: random]
    #[arg(long, value_name = "TOKEN", env = "MXR_BOUNDARY")]
    pub boundary: Option<String>,
    /// Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle
    #[arg(long, value_name = "N", default_value_t = 1, env = "MXR_THREADS", value_parser = count)]
    pub threads: usize,
    /// Open the viewer page in the browser (never over SSH)
    #[arg(long, env = "MXR_OPEN", value_parser = switch, action = ArgAction::SetTrue)]
    pub open: bool,
    /// Show the URL as a QR code on standard error, for a phone
    #[arg(long, env = "MXR_QR", value_parser = switch, action = ArgAction::SetTrue)]
    pub qr: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line
    #[arg(short = 'a', long, value_name = "USER:PASSWORD", env = "MXR_AUTH", hide_env_values = true)]
    pub auth: Vec<String>,
    /// Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares
    /// 72 bytes of a password)
    #[arg(long, value_name = "FILE", env = "MXR_AUTH_FILE")]
    pub auth_file: Option<PathBuf>,
    /// Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one
    /// is generated
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, default_missing_value = RANDOM_TOKEN, env = "MXR_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Read the token from this file
    #[arg(long, value_name = "FILE", env = "MXR_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Let anyone who can reach the address watch, beyond loopback too
    #[arg(long, env = "MXR_PUBLIC", value_parser = switch, action = ArgAction::SetTrue)]
    pub public: bool,
    /// Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine's name
    #[arg(long, value_name = "HOST", value_delimiter = ',', env = "MXR_ALLOW_HOST")]
    pub allow_host: Vec<String>,
    /// Let scripts from this origin read the feed (CORS; repeatable; * allows any)
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', env = "MXR_ALLOW_ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway
    #[arg(long, value_name = "ORIGIN", num_args = 0..=1, default_missing_value = "*", require_equals = true, value_delimiter = ',',
          env = "MXR_ALLOW_EMBED")]
    pub allow_embed: Vec<String>,
    /// Serve below this path, such as /cam, for a proxy that passes it on
    #[arg(long, value_name = "PATH", env = "MXR_ROUTE_PREFIX")]
    pub route_prefix: Option<String>,
    /// Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect
    #[arg(long, env = "MXR_TRUST_PROXY", value_parser = switch, action = ArgAction::SetTrue)]
    pub trust_proxy: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// Log more (-v connections, -vv everything)
    #[arg(short = 'v', long, action = ArgAction::Count, env = "MXR_VERBOSE")]
    pub verbose: u8,
    /// Log less (-q errors and warnings, -qq nothing)
    #[arg(short = 'q', long, action = ArgAction::Count, env = "MXR_QUIET")]
    pub quiet: u8,
    /// Format of the log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, env = "MXR_LOG_FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line per event
    Text,
    /// One JSON object per line
    Json,
}

/// An empty variable counts as unset.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" | "" => Ok(false),
        _ => Err("expected 1, true, yes or on, or 0, false, no or off".to_owned()),
    }
}

impl AccessArgs {
    /// Whether viewers have to authenticate.
    pub fn has_secret(&self) -> bool {
        let Self { auth, auth_file, token, token_file, .. } = self;
        !auth.is_empty() || auth_file.is_some() || token.is_some() || token_file.is_some()
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    // In a URL the brackets around an IPv6 address are needed, so people type them here too.
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match text {
        name if name.eq_ignore_ascii_case("localhost") => Ok(IpAddr::from([127, 0, 0, 1])),
        "*" => Ok(IpAddr::from([0, 0, 0, 0])),
        address => address.parse().map_err(|_| "an address looks like 192.168.1.5 or ::1; 0.0.0.0 means all of them".to_owned()),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "a mode is octal, such as 600 or 660".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_that_serves_has_an_example() {
        for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "completions") {
            let example = format!("mxr {}", command.get_name());
            assert!(EXAMPLES.contains(&example), "there is no example of `{example}` in EXAMPLES");
        }
    }
}
