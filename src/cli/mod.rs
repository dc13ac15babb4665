//! The command line as clap sees it: names, help texts and environment variables.
//! It imports nothing of this crate; `config` turns what was typed into a validated `Config`.

#![allow(missing_docs, reason = "clap prints doc comments as help: what has none there is to have none")]

mod suggest;

use std::{net::IpAddr, path::PathBuf};

use bytesize::ByteSize;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum, parser::ValueSource};
use clap_complete::Shell;

pub use suggest::unknown_variables;

/// Turn what a program produces into a live push feed over HTTP, for any browser or <img>
#[derive(Debug, Parser)]
#[command(name = "mxr", version, max_term_width = 100, after_help = EXAMPLES, after_long_help = ROUTES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  mxr serve --demo                    the built-in demo
  mxr watch ./plot.png                push a picture whenever it changes
  tail -f log | mxr stdin             push each line
  mxr serve ./frames --fps 24         replay a directory of frames

Open the printed URL in a browser, or put it into an <img>. `mxr --help` lists the routes.";

const ROUTES: &str = "\
Examples:
  mxr serve --demo                    the built-in demo
  mxr watch ./plot.png                push a picture whenever it changes
  tail -f log | mxr stdin             push each line
  mxr serve ./frames --fps 24         replay a directory of frames

Routes:
  /                  the viewer page for a browser, the feed for everything else
  /stream[/NAME]     the feed: multipart/x-mixed-replace, or multipart/mixed
                     where Accept asks for that
  /streams           all feeds over one connection; X-Feed names each part's
     ?fps=N          at most N parts a second
     ?parts=N        end after N parts
     ?history=N      begin with the last N parts
  /snapshot[/NAME]   the newest part as it is
     ?after=SEQ      wait for one that is newer
  /view              the viewer page, always
  /state             JSON: feeds, their newest part, viewers
  /metrics           the numbers for Prometheus
  /healthz           200 while serving
  /quit              ends the demo (the demo alone)
     ?token=T        on every route, where the server takes a token
  As other camera servers have them: /?action=stream, /?action=snapshot,
  /stream.mjpg, /api/stream.mjpeg, /api/frame.jpeg

Exit status: 0 a clean end, 1 a failure, 2 wrong usage, 130 a second Ctrl-C.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play the built-in demo, or replay a directory of frames
    Serve(Serve),
    /// Push a file whenever it changes; for a directory, whichever file in it changed
    Watch(Watch),
    /// Push what arrives on standard input: lines, or pictures one behind the other
    Stdin(Stdin),
    /// Print a completion script for a shell
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Directory of frames, played in natural order (frame2 before frame10)
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Play the built-in demo (what happens without DIR, too)
    #[arg(long, env = "MXR_DEMO", value_parser = switch, action = ArgAction::SetTrue)]
    pub demo: bool,
    /// Frames a second of DIR
    #[arg(short = 'r', long, value_name = "N", default_value_t = 10.0, env = "MXR_FPS")]
    pub fps: f64,
    /// Each viewer gets its own run from the first frame, then the end; otherwise all share one loop
    #[arg(long, env = "MXR_ONCE", value_parser = switch, action = ArgAction::SetTrue)]
    pub once: bool,
    /// After the last frame wait for new ones instead of starting over
    #[arg(long, env = "MXR_FOLLOW", value_parser = switch, action = ArgAction::SetTrue)]
    pub follow: bool,
    /// Only files whose name matches (* ? [a-z] {a,b}, turned round by a leading !)
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
    /// In a directory only files whose name matches (* ? [a-z] {a,b}, turned round by a leading !)
    #[arg(long, value_name = "PATTERN", env = "MXR_GLOB")]
    pub glob: Option<String>,
    /// How long a file must be unchanged before it is pushed, where its writer was not seen to close it
    #[arg(long, value_name = "MS", default_value_t = 100, env = "MXR_SETTLE")]
    pub settle: u64,
    /// Look every MS milliseconds (300) and do not wait for events; on network mounts mxr looks as well
    #[arg(long, value_name = "MS", num_args = 0..=1, default_missing_value = "300", require_equals = true, env = "MXR_POLL")]
    pub poll: Option<u64>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Stdin {
    /// Where a part ends: auto, lines, nul, blank (empty lines), jpeg, png, multipart, or a SEPARATOR
    /// such as '\n---\n' or '\x1e'; auto looks at the first bytes for pictures and multipart and takes
    /// the rest for lines
    #[arg(long, value_name = "HOW", default_value = "auto", env = "MXR_SPLIT")]
    pub split: String,
    /// Make each part the last N lines, as one document
    #[arg(long, value_name = "N", env = "MXR_WINDOW")]
    pub window: Option<usize>,
    /// Copy the input to standard output as well, behind the URLs
    #[arg(long, env = "MXR_TEE", value_parser = switch, action = ArgAction::SetTrue)]
    pub tee: bool,
    /// End when the input ends; otherwise its last parts are served until Ctrl-C
    #[arg(long, env = "MXR_EXIT_ON_EOF", value_parser = switch, action = ArgAction::SetTrue)]
    pub exit_on_eof: bool,
    #[command(flatten)]
    pub common: Common,
}

/// What every source shares.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    pub parts: Parts,
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub access: AccessArgs,
    #[command(flatten)]
    pub log: Log,
    #[arg(skip)]
    pub typed: Typed,
}

/// The options that were typed: one that is in the environment is for every command that can use it, one that was typed and
/// cannot be used is a mistake.
#[derive(Debug, Clone, Default)]
pub struct Typed(Vec<String>);

impl Typed {
    fn of(matches: &ArgMatches) -> Self {
        let is_typed = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        Self(matches.ids().filter(is_typed).map(ToString::to_string).collect())
    }

    /// Whether this option was, by the name of its field.
    pub fn has(&self, option: &str) -> bool {
        self.0.iter().any(|typed| typed == option)
    }
}

impl Cli {
    /// Reads the command line; where it is none, says so and ends the program.
    pub fn read() -> Self {
        let matches = suggest::command().try_get_matches().unwrap_or_else(|error| suggest::explain(error).exit());
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut suggest::command()).exit());
        let typed = matches.subcommand().map(|(_, matches)| Typed::of(matches)).unwrap_or_default();
        match &mut cli.command {
            Command::Serve(serve) => serve.common.typed = typed,
            Command::Watch(watch) => watch.common.typed = typed,
            Command::Stdin(stdin) => stdin.common.typed = typed,
            Command::Completions { .. } => {}
        }
        cli
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Parts")]
pub struct Parts {
    /// Media type of every part [default: from the name, or from the content where the name says nothing; lines are text/plain]
    #[arg(short = 't', long = "type", value_name = "MIME", env = "MXR_TYPE")]
    pub media: Option<String>,
    /// At most N parts a second: the newest of each interval, and the last one always
    #[arg(long, value_name = "N", env = "MXR_MAX_FPS")]
    pub max_fps: Option<f64>,
    /// Push a part even if its bytes are the same as the last one's
    #[arg(long, env = "MXR_KEEP_SAME", value_parser = switch, action = ArgAction::SetTrue)]
    pub keep_same: bool,
    /// Largest part; longer lines are cut, larger pictures and files are skipped
    #[arg(long, value_name = "SIZE", default_value = "64MiB", env = "MXR_MAX_PART", value_parser = size)]
    pub max_part: ByteSize,
    /// Parts kept for viewers that ask for ?history=N, the newest included [default: 1; 10000 for lines]
    #[arg(long, value_name = "N", env = "MXR_HISTORY")]
    pub history: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Serving")]
pub struct Serving {
    /// Port to listen on; 0 takes a free one
    #[arg(short = 'p', long, value_name = "PORT", default_value_t = 8080, env = "MXR_PORT")]
    pub port: u16,
    /// Address to listen on; beyond loopback a token is drawn, unless --auth, --token or --public says otherwise
    #[arg(short = 'H', long, value_name = "ADDRESS", default_value = "127.0.0.1", env = "MXR_HOST", value_parser = host)]
    pub host: IpAddr,
    /// Listen on a Unix socket at this path instead, for a proxy on this machine
    #[arg(short = 'U', long, value_name = "PATH", env = "MXR_UNIX")]
    pub unix: Option<PathBuf>,
    /// Permissions of the Unix socket, in octal; who may write to it may connect
    #[arg(long, value_name = "MODE", default_value = "600", env = "MXR_UNIX_MODE", value_parser = mode)]
    pub unix_mode: u32,
    /// Speak https, with the certificates in this file (PEM, the server's own first); it is read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "MXR_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate (PEM); refused where every user of this machine can read it
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "MXR_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Most viewers at once; further ones get 503
    #[arg(short = 'm', long, value_name = "N", default_value_t = 10_000, env = "MXR_MAX_VIEWERS")]
    pub max_viewers: usize,
    /// Most viewers of one address, of IPv6 a /64; further ones get 503 [default: as --max-viewers]
    #[arg(long, value_name = "N", env = "MXR_MAX_VIEWERS_PER_ADDRESS")]
    pub max_viewers_per_address: Option<usize>,
    /// Cut a viewer that takes nothing for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, env = "MXR_STALL_TIMEOUT")]
    pub stall_timeout: f64,
    /// Repeat the newest part after so many seconds without a change; 0 never
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, env = "MXR_KEEPALIVE")]
    pub keepalive: f64,
    /// Boundary between parts, for readers that want a certain one [default: drawn at random]
    #[arg(long, value_name = "TOKEN", env = "MXR_BOUNDARY")]
    pub boundary: Option<String>,
    /// Spread the viewers over N threads; one serves thousands, more help where it is busy and cores are idle
    #[arg(long, value_name = "N", default_value_t = 1, env = "MXR_THREADS")]
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
    /// Let in who has this password (repeatable); better by MXR_AUTH, since others on this machine see what is typed
    #[arg(short = 'a', long, value_name = "USER:PASSWORD", env = "MXR_AUTH", hide_env_values = true)]
    pub auth: Vec<String>,
    /// Let in who is in this file, which has a line USER:PASSWORD for each, or USER:HASH with bcrypt (htpasswd -B) or argon2
    #[arg(long, value_name = "FILE", env = "MXR_AUTH_FILE")]
    pub auth_file: Option<PathBuf>,
    /// Let in who has this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, where it stands last or before
    /// another option, one is drawn
    #[arg(long, value_name = "TOKEN", num_args = 0..=1, default_missing_value = "random", env = "MXR_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Read the token from this file
    #[arg(long, value_name = "FILE", env = "MXR_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Beyond loopback, let anyone watch who can reach the address
    #[arg(long, env = "MXR_PUBLIC", value_parser = switch, action = ArgAction::SetTrue)]
    pub public: bool,
    /// Accept this name in the Host header (repeatable; * accepts any) beside localhost, addresses and this machine's name
    #[arg(long, value_name = "HOST", value_delimiter = ',', env = "MXR_ALLOW_HOST")]
    pub allow_host: Vec<String>,
    /// Let scripts of this origin read the feed (CORS; repeatable; * allows any)
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', env = "MXR_ALLOW_ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Let pages of other sites, or of these origins alone, put the viewer page into a frame; pictures they may show anyway
    #[arg(long, value_name = "ORIGIN", num_args = 0..=1, default_missing_value = "*", require_equals = true, value_delimiter = ',',
          env = "MXR_ALLOW_EMBED")]
    pub allow_embed: Vec<String>,
    /// Serve below this path, as in /cam, for a proxy that passes it on
    #[arg(long, value_name = "PATH", env = "MXR_ROUTE_PREFIX")]
    pub route_prefix: Option<String>,
    /// Believe X-Forwarded-For, -Proto and -Host; only where nothing but the proxy can connect
    #[arg(long, env = "MXR_TRUST_PROXY", value_parser = switch, action = ArgAction::SetTrue)]
    pub trust_proxy: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// Say more (-v connections, -vv everything)
    #[arg(short = 'v', long, action = ArgAction::Count, env = "MXR_VERBOSE")]
    pub verbose: u8,
    /// Say less (-q errors and warnings, -qq nothing)
    #[arg(short = 'q', long, action = ArgAction::Count, env = "MXR_QUIET")]
    pub quiet: u8,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, env = "MXR_LOG_FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line each
    Text,
    /// One JSON object a line
    Json,
}

/// An empty variable is as good as none.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" | "" => Ok(false),
        _ => Err("it is 1, true, yes or on, or 0, false, no or off".to_owned()),
    }
}

impl AccessArgs {
    /// Whether something has to be shown.
    pub fn has_secret(&self) -> bool {
        let Self { auth, auth_file, token, token_file, .. } = self;
        !auth.is_empty() || auth_file.is_some() || token.is_some() || token_file.is_some()
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        "*" => Ok(IpAddr::from([0, 0, 0, 0])),
        address => address.parse().map_err(|_| "an address looks like 192.168.1.5 or ::1; 0.0.0.0 is all of them".to_owned()),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "a mode looks like 600 or 660".to_owned())
}

fn size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| "a size looks like 64MiB or 500KB".to_owned())
}
