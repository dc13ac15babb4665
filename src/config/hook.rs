//! The meaning of the flags about hooks.

use std::time::Duration;

use crate::{
    cli::{HookArgs, Typed},
    error::{Error, Result},
    hooks::HookSettings,
};

/// Runs of single viewers are over when their viewer has left: nothing is stale.
pub(super) fn check_none(typed: &Typed) -> Result<()> {
    match ["on_stale", "on_live"].iter().any(|option| typed.has(option)) {
        true => Err(Error::usage("use --on-stale or --on-live", "each viewer has a run of its own, which does not become stale")),
        false => Ok(()),
    }
}

/// An empty command is none.
pub(super) fn settings(hooks: HookArgs, interval: Option<Duration>, typed: &Typed) -> Result<HookSettings> {
    let HookArgs { on_stale, on_live, stale_after } = hooks;
    if stale_after < Duration::from_millis(100) {
        let what = format!("use --stale-after {}", humantime::format_duration(stale_after));
        return Err(Error::usage(what, "less than 100ms would run hooks all the time"));
    }
    let is_command = |command: &String| !command.trim().is_empty();
    let settings =
        HookSettings { on_stale: on_stale.filter(is_command), on_live: on_live.filter(is_command), stale_after, interval };
    if settings.is_empty() && typed.has("stale_after") {
        return Err(Error::usage("use --stale-after", "there is no hook").hint("--on-stale CMD and --on-live CMD are hooks"));
    }
    Ok(settings)
}
