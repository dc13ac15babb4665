//! One invocation from start to end: log, socket, URLs on standard output, signals, exit code.

use std::{
    io::{self, IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use qrcode::{QrCode, render::unicode::Dense1x2};
use tokio::{net::TcpListener, runtime};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::{Config, LogConfig, Show},
    contain,
    error::{Error, ExitCode, Result},
    terminal::Terminal,
};

/// Serves as configured until the end, and tells people what went wrong.
pub fn serve(log: LogConfig, config: Result<Config>) -> ExitCode {
    let terminal = Terminal::start(log);
    contain::report_in_log();
    let result = config.and_then(|config| {
        // Each viewer is a file descriptor; the soft limit of 1024 is for programs that use select.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::new("start", error))?;
        runtime.block_on(serve_until_told(config, terminal))
    });
    match result {
        Ok(()) => ExitCode::Clean,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            error.code()
        }
    }
}

async fn serve_until_told(config: Config, terminal: Terminal) -> Result<()> {
    let shutdown = CancellationToken::new();
    let (address, show) = (config.address, config.show);
    let server = crate::Server::new(config)?;
    let listener = crate::bind(address)?;
    listen_to_signals(shutdown.clone())?;
    announce(&listener, show)?;
    server.run(listener, terminal, shutdown).await
}

/// The URLs on standard output, one a line, and nothing else. The last is the one for other machines, where there is one.
fn announce(listener: &TcpListener, show: Show) -> Result<()> {
    let address = listener.local_addr().map_err(|error| Error::new("learn the address", error))?;
    let urls: Vec<String> = reachable(address).iter().map(|address| format!("http://{address}/")).collect();
    let mut stdout = io::stdout();
    for url in &urls {
        // Whoever sees standard output on the same terminal need not be told twice.
        if !(stdout.is_terminal() && io::stderr().is_terminal()) {
            info!(%url, "serving");
        }
        if let Err(error) = writeln!(stdout, "{url}").and_then(|()| stdout.flush()) {
            warn!(%error, "cannot print the URL");
        }
    }
    let (Some(here), Some(elsewhere)) = (urls.first(), urls.last()) else { return Ok(()) };
    if show.as_qr {
        if address.ip().is_loopback() {
            info!("a phone cannot reach a loopback address; --host 0.0.0.0 --public lets it");
        }
        draw_qr(elsewhere);
    }
    if show.in_browser {
        open_browser(here);
    }
    Ok(())
}

/// Addresses that a browser can open: on this machine, and from the network where all addresses are listened on.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let (loopback, any): (IpAddr, SocketAddr) = match address {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), (Ipv4Addr::UNSPECIFIED, 0).into()),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), (Ipv6Addr::UNSPECIFIED, 0).into()),
    };
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    // Connecting a UDP socket sends nothing; it tells which of our addresses leads outside (192.0.2.1 is TEST-NET-1).
    let outside: IpAddr = if address.is_ipv4() { [192, 0, 2, 1].into() } else { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into() };
    let network = || {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect((outside, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    };
    [Some(loopback), network()].into_iter().flatten().map(|ip| SocketAddr::new(ip, address.port())).collect()
}

/// Draws the URL with half blocks.
fn draw_qr(url: &str) {
    match QrCode::new(url) {
        Ok(code) => {
            // On a dark terminal a full block is light: cameras want dark modules on a light ground.
            let image = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
            let _ = writeln!(io::stderr(), "{image}\n{url}");
        }
        Err(error) => warn!(%error, "cannot draw the URL as a QR code"),
    }
}

/// Over SSH the browser would open on the wrong machine, or block the terminal.
fn open_browser(url: &str) {
    if ["SSH_CONNECTION", "SSH_TTY"].iter().any(|name| std::env::var_os(name).is_some()) {
        info!("--open does nothing over SSH; open the URL yourself");
    } else if let Err(error) = open::that_detached(url) {
        warn!(%error, "cannot open the browser; open the URL yourself");
    }
}

/// The first Ctrl-C or SIGTERM ends the feeds, so that viewers get their close-delimiter; a second Ctrl-C ends at once.
fn listen_to_signals(shutdown: CancellationToken) -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let catch = |kind| signal(kind).map_err(|error| Error::new("catch signals", error));
        let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
        let (again, left) = (shutdown.clone(), shutdown.clone());
        let mut hangup = catch(SignalKind::hangup())?;
        let has_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
        tokio::spawn(async move {
            // Whoever closes the terminal means it; a service without one is sent this to read its files anew.
            while hangup.recv().await.is_some() {
                match has_terminal {
                    true => left.cancel(),
                    false => info!("a hang-up (SIGHUP) does not end it"),
                }
            }
        });
        tokio::spawn(async move {
            while interrupt.recv().await.is_some() {
                if again.is_cancelled() {
                    std::process::exit(ExitCode::Interrupted as i32);
                }
                again.cancel();
            }
        });
        tokio::spawn(async move {
            while terminate.recv().await.is_some() {
                shutdown.cancel();
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if shutdown.is_cancelled() {
                std::process::exit(ExitCode::Interrupted as i32);
            }
            shutdown.cancel();
        }
    });
    Ok(())
}
