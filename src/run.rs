//! One invocation from start to end: log, socket, URLs on standard output, signals, exit code. It knows no request and no part.

use std::{
    io::{self, IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use qrcode::{QrCode, render::unicode::Dense1x2};
use rustix::termios::tcgetpgrp;
use tokio::{runtime, sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    cli,
    config::{Config, Show, record::RecordConfig},
    conn::listen::{self, Listener},
    doctor::{self, DoctorSettings, Subject},
    error::{Error, ExitCode, Result},
    http, panic, process, systemd,
    terminal::{LogOptions, Terminal},
};

/// By this time after SIGHUP a terminal that is lost is lost.
const LOSS_OF_TERMINAL: Duration = Duration::from_millis(50);

/// Serves as configured until the end, and reports what went wrong.
pub fn serve(log: LogOptions, config: impl FnOnce() -> Result<Config>) -> ExitCode {
    run(log, async |terminal| serve_until_told(config()?, terminal).await)
}

/// Records as configured until the end, and reports what went wrong.
pub fn record(log: LogOptions, config: impl FnOnce() -> Result<RecordConfig>) -> ExitCode {
    run(log, async |terminal| record_until_told(config()?, terminal).await)
}

fn run(log: LogOptions, work: impl AsyncFnOnce(Terminal) -> Result<()>) -> ExitCode {
    let terminal = Terminal::start(log);
    panic::report_in_log();
    for (variable, nearest) in cli::unknown_variables() {
        let meant = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        warn!(variable, "unknown variable{meant}");
    }
    // Each viewer is a file descriptor; the soft limit of 1024 is for programs that use select.
    rlimit::Resource::NOFILE.get_soft().iter().for_each(|limit| process::keep_file_limit(*limit));
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(|error| Error::new("start", error)).and_then(|runtime| {
        let result = runtime.block_on(work(terminal.clone()));
        // A thread that still reads a file from a slow disk is not waited for.
        runtime.shutdown_background();
        result
    });
    report(result, &terminal)
}

/// Prints what a check has found to be right, or what is wrong.
pub fn check(log: LogOptions, text: impl FnOnce() -> Result<String>) -> ExitCode {
    let terminal = Terminal::start(log);
    let print = |text: String| io::stdout().write_all(text.as_bytes()).map_err(|error| Error::new("print the result", error));
    report(text().and_then(print), &terminal)
}

/// Looks at a feed or a path, and prints what is found.
pub fn doctor(settings: impl FnOnce() -> Result<DoctorSettings>) -> ExitCode {
    let terminal = Terminal::start(LogOptions::default());
    let result = settings().and_then(|settings| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::new("start", error))?;
        if io::stderr().is_terminal() && matches!(settings.subject, Subject::Url(..)) {
            terminal.say(format!("reading for {} …\n", humantime::format_duration(settings.read_for)));
        }
        let found = runtime.block_on(doctor::examine(settings.subject, settings.read_for));
        // A lookup of a name is not waited for.
        runtime.shutdown_background();
        let text = if settings.is_json { found.json() } else { doctor::text(&found) };
        // A reader that has seen enough is no failure.
        let _ = io::stdout().write_all(text.as_bytes());
        Ok(found.code())
    });
    match result {
        Ok(code) => {
            terminal.end();
            code
        }
        Err(error) => match report(Err(error), &terminal) {
            ExitCode::Usage => ExitCode::Usage,
            // 1 would say that a reader breaks.
            _ => ExitCode::NotLooked,
        },
    }
}

/// The exit code of a result, whose failure the terminal says.
fn report(result: Result<()>, terminal: &Terminal) -> ExitCode {
    let code = match result {
        Ok(()) => ExitCode::Clean,
        Err(error) => {
            terminal.say(format!("{error}\n"));
            error.code()
        }
    };
    terminal.end();
    code
}

async fn serve_until_told(config: Config, terminal: Terminal) -> Result<()> {
    let shutdown = CancellationToken::new();
    let (place, typed_place, show, is_public) = (config.place.clone(), config.typed_place, config.show, config.is_public);
    let reload = config.reload.clone();
    let mut listeners = listen::passed()?;
    let mut server = crate::Server::new(config, shutdown.clone())?;
    match typed_place {
        _ if listeners.is_empty() => listeners.push(place.listen()?),
        Some(option) => warn!("--{option} is ignored: systemd has opened the socket"),
        None => {}
    }
    if listeners.iter().any(Listener::is_exposed) && !is_public && server.access().is_open() {
        info!("other machines can reach this address, so viewers need the token in the URL; --public lets anyone watch");
        server.access().generate_token();
    }
    if listeners.iter().any(Listener::is_exposed)
        && let Some(token) = server.generate_push_token()
    {
        // Not in the log, and apart from the token to look.
        let url = listeners.iter().flat_map(|listener| urls(listener, server.http())).rfind(|url| !is_path(url));
        let example = url.map(|url| format!("to try it: curl -T plot.png '{url}snapshot/plot.png?token={token}'\n"));
        terminal.say(format!("the token to push: {token}\n{}", example.unwrap_or_default()));
    }
    listen_to_signals(&shutdown, reload)?;
    announce(&listeners, server.http(), show, &terminal);
    systemd::tell_ready(&shutdown);
    let result = server.run(listeners, terminal).await;
    process::end_all().await;
    result
}

async fn record_until_told(config: RecordConfig, terminal: Terminal) -> Result<()> {
    let shutdown = CancellationToken::new();
    let capture = crate::Capture::new(config, shutdown.clone())?;
    listen_to_signals(&shutdown, None)?;
    systemd::tell_ready(&shutdown);
    capture.run(terminal).await
}

/// Prints the URLs on standard output, one per line, and nothing else. If there is one for other machines, it is the last.
fn announce(listeners: &[Listener], http: &http::Options, show: Show, terminal: &Terminal) {
    let urls: Vec<String> = listeners.iter().flat_map(|listener| urls(listener, http)).collect();
    let token = http.access.token();
    let with_token = |url: &String| match token {
        Some(token) if !is_path(url) => format!("{url}?token={}", token.reveal()),
        _ => url.clone(),
    };
    let mut stdout = io::stdout();
    // A token that the user chose is known to the user, and a pipe may lead to a log.
    let shows_token = stdout.is_terminal() || token.is_some_and(|token| token.is_generated);
    for url in &urls {
        // If both streams are the same terminal, once is enough.
        if !(stdout.is_terminal() && io::stderr().is_terminal()) {
            info!(%url, "serving");
        }
        let url = if shows_token { with_token(url) } else { url.clone() };
        if let Err(error) = writeln!(stdout, "{url}").and_then(|()| stdout.flush()) {
            warn!(%error, "cannot print the URL");
        }
    }
    let mut to_open = urls.iter().filter(|url| !is_path(url));
    let Some(here) = to_open.next() else { return };
    let from_network = to_open.next_back().unwrap_or(here);
    if show.as_qr {
        let is_exposed = listeners.iter().any(Listener::is_exposed);
        let mut addresses = listeners.iter().filter_map(Listener::address).flat_map(reachable);
        if !is_exposed {
            info!("a phone cannot reach this address; --host 0.0.0.0 makes it reachable");
        } else if addresses.all(|address| address.ip().to_canonical().is_loopback()) {
            warn!("no phone can reach this machine: it has no route to a network");
        }
        draw_qr(&with_token(from_network), terminal);
    }
    if show.in_browser {
        open_browser(here, http);
    }
}

/// The URLs of one socket; for a Unix socket its path, in the notation of nginx.
fn urls(listener: &Listener, http: &http::Options) -> Vec<String> {
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let of_address = |address| format!("{scheme}://{address}{}/", http.prefix);
    let addresses = listener.address().map(reachable).unwrap_or_default();
    let path = listener.path().map(|path| format!("unix:{}", path.display()));
    addresses.into_iter().map(of_address).chain(path).collect()
}

fn is_path(url: &str) -> bool {
    url.starts_with("unix:")
}

/// Addresses that a browser can open: on this machine and, if the socket listens on all addresses, from the network.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let (loopback, any): (IpAddr, SocketAddr) = match address {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), (Ipv4Addr::UNSPECIFIED, 0).into()),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), (Ipv6Addr::UNSPECIFIED, 0).into()),
    };
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    // Connecting a UDP socket sends nothing, but selects the address with the route outside (192.0.2.1 is TEST-NET-1).
    let outside: IpAddr = if address.is_ipv4() { [192, 0, 2, 1].into() } else { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into() };
    let network = || {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect((outside, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    };
    [Some(loopback), network()].into_iter().flatten().map(|ip| SocketAddr::new(ip, address.port())).collect()
}

/// Draws the URL as a QR code of half blocks.
fn draw_qr(url: &str, terminal: &Terminal) {
    match QrCode::new(url) {
        Ok(code) => {
            // On a dark terminal a full block is light, and cameras expect dark modules on a light background.
            let image = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
            terminal.say(format!("{image}\n{url}\n"));
        }
        Err(error) => warn!(%error, "cannot draw the URL as a QR code"),
    }
}

/// Over SSH the browser would open on the wrong machine, or block the terminal. Other users of the machine see the URL on its
/// command line, so the URL holds a secret that opens once, for this user.
fn open_browser(url: &str, http: &http::Options) {
    if ["SSH_CONNECTION", "SSH_TTY"].iter().any(|name| std::env::var_os(name).is_some()) {
        return info!("--open does nothing over SSH; open the URL yourself");
    }
    let once = http.access.draw_once();
    let url = once.map_or_else(|| url.to_owned(), |query| format!("{url}?{query}"));
    if let Err(error) = open::that_detached(url) {
        warn!("cannot open a browser; open the URL yourself");
        // The error repeats the command line.
        debug!(error = http.access.redacted(&error.to_string()), "no launcher has started a browser");
    }
}

/// The first Ctrl-C or SIGTERM ends the feeds, so that viewers get their close-delimiter; a second Ctrl-C exits at once. Closing
/// the terminal also ends the feeds, unless SIGHUP is ignored (nohup); for a service without a terminal, and for what was read from
/// a file, SIGHUP means that files have changed.
fn listen_to_signals(shutdown: &CancellationToken, reload: Option<Arc<Notify>>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let catch = |kind| signal(kind).map_err(|error| Error::new("catch signals", error));
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut ends = vec![catch(SignalKind::terminate())?];
    // Once it is caught, the system no longer tells that it was ignored.
    let ends_with_terminal = (io::stdin().is_terminal() || io::stderr().is_terminal()) && !is_hangup_ignored();
    let hangup = catch(SignalKind::hangup())?;
    match reload {
        Some(reload) => reload_at_hangups(hangup, reload, ends_with_terminal.then(|| shutdown.clone())),
        None if ends_with_terminal => ends.push(hangup),
        None => log_hangups(hangup),
    }
    let again = shutdown.clone();
    tokio::spawn(async move {
        while interrupt.recv().await.is_some() {
            if again.is_cancelled() {
                std::process::exit(ExitCode::Interrupted as i32);
            }
            again.cancel();
        }
    });
    for mut end in ends {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            while end.recv().await.is_some() {
                shutdown.cancel();
            }
        });
    }
    Ok(())
}

/// A terminal that is gone is not there to ask for that; then `end` is cancelled instead.
fn reload_at_hangups(mut hangup: tokio::signal::unix::Signal, reload: Arc<Notify>, end: Option<CancellationToken>) {
    let had_control = is_controlled();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let Some(end) = &end else {
                reload.notify_one();
                continue;
            };
            // When the shell of a terminal ends, its other programs lose the terminal just after the signal, and get no second one.
            sleep(LOSS_OF_TERMINAL).await;
            let is_gone = if had_control { !is_controlled() } else { !io::stdin().is_terminal() && !io::stderr().is_terminal() };
            if is_gone {
                end.cancel();
            }
            reload.notify_one();
        }
    });
}

/// Whether a standard stream is the controlling terminal of this process.
fn is_controlled() -> bool {
    tcgetpgrp(io::stdin()).is_ok() || tcgetpgrp(io::stderr()).is_ok()
}

fn log_hangups(mut hangup: tokio::signal::unix::Signal) {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            info!("SIGHUP received; without a terminal it does not stop mxr");
        }
    });
}

/// Whether this process was started with SIGHUP (signal 1) ignored (`SigIgn` in proc(5)).
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
