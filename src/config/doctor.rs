//! The options of `mxr doctor`: whether its subject is a URL or a path. It looks at neither.

use std::{path::PathBuf, time::Duration};

use super::{
    broker::is_broker,
    relay::{client, target},
};
use crate::{
    cli::DoctorArgs,
    doctor::{DoctorSettings, Subject},
    error::{Error, Result},
};

/// In less time nothing can be said of a feed.
const SHORTEST: Duration = Duration::from_millis(100);
/// In more time nothing new comes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// From `mxr doctor`.
///
/// # Errors
/// If a value is invalid.
pub(super) fn settings(args: DoctorArgs) -> Result<DoctorSettings> {
    if !(SHORTEST..=LONGEST).contains(&args.read_for) {
        let what = format!("use --for {}", humantime::format_duration(args.read_for));
        return Err(Error::usage(what, "it must be from 100ms to 1day"));
    }
    let url = args.subject.to_str().filter(|text| text.contains("://"));
    let subject = match url {
        Some(url) if is_broker(url) => {
            let error = Error::usage("look at the URL", "doctor reads no brokers");
            return Err(error.hint("mxr relay reads them, and mosquitto_sub -v shows what is there"));
        }
        Some(url) => Subject::Url(Box::new(target(url)?), Box::new(client(args.upstream)?)),
        None => path(PathBuf::from(&args.subject))?,
    };
    Ok(DoctorSettings { subject, read_for: args.read_for, is_json: args.json })
}

/// A path; what is none, but may be a URL without its scheme, is a mistake.
fn path(path: PathBuf) -> Result<Subject> {
    if path.as_os_str().is_empty() {
        return Err(Error::usage("look at ''", "it is neither a URL nor a path"));
    }
    let first = path.iter().next().and_then(|first| first.to_str()).unwrap_or_default();
    let has_port =
        first.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    // Nothing of it is repeated, which may be a password.
    let has_password = first.split_once('@').is_some_and(|(user, _)| user.contains(':'));
    let has_scheme = ["http:", "https:"].iter().any(|scheme| first.eq_ignore_ascii_case(scheme));
    let is_url = has_port || has_password || has_scheme || first.parse::<std::net::IpAddr>().is_ok();
    if !path.exists() && is_url {
        return Err(Error::usage("look at the path", "there is no such file").hint("a URL begins with http:// or https://"));
    }
    Ok(Subject::Path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_its_scheme_is_no_missing_file() {
        for text in
            ["camera:8080/video", "192.168.1.5/video", "user:secret@camera:80", "user:secret@camera/x", "http:/user:secret@camera/"]
        {
            let error = path(PathBuf::from(text)).unwrap_err().to_string();
            assert!(error.contains("http://") && !error.contains("secret"), "{error}");
        }
        for text in ["plot.png", "./a:1", "/tmp/none"] {
            assert!(path(PathBuf::from(text)).is_ok(), "{text}");
        }
    }
}
