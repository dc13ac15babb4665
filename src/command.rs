//! One invocation from start to end: log, socket, URLs on standard output, signals, exit code.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{net::TcpListener, runtime};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::{Config, LogConfig},
    error::{Error, ExitCode, Result},
    terminal::Terminal,
};

/// Serves as configured until the end, and tells people what went wrong.
pub fn serve(log: LogConfig, config: Result<Config>) -> ExitCode {
    let terminal = Terminal::start(log);
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
    let listener = crate::bind(&config)?;
    listen_to_signals(shutdown.clone())?;
    announce(&listener, config.open)?;
    crate::run(config, listener, terminal, shutdown).await
}

/// The URLs on standard output, one a line, and nothing else.
fn announce(listener: &TcpListener, open: bool) -> Result<()> {
    let address = listener.local_addr().map_err(|error| Error::new("learn the address", error))?;
    let url = format!("http://{}/", reachable(address));
    info!(%url, "serving");
    let mut stdout = io::stdout();
    if let Err(error) = writeln!(stdout, "{url}").and_then(|()| stdout.flush()) {
        warn!(%error, "cannot print the URL");
    }
    if open {
        open_browser(&url);
    }
    Ok(())
}

/// An address that a browser on this machine can open.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
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
        let again = shutdown.clone();
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
