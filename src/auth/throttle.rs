//! How fast one source address may guess: a few times at once, then once a second, while others are served as
//! always. It knows addresses and times, not what is guessed.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{net::neighbourhood, sync::lock};

/// What a wrong guess costs.
const PRICE: Duration = Duration::from_secs(1);
/// What may be owed before anybody waits: people mistype, and a browser asks several times at once.
const CREDIT: Duration = Duration::from_secs(5);
/// The longest wait; who owes more is sent away instead.
const LONGEST: Duration = Duration::from_secs(10);
/// Source addresses that are remembered.
const SOURCES: usize = 10_000;

/// What each source address owes, as the time at which it will owe nothing.
#[derive(Debug, Default)]
pub(crate) struct LoginThrottle(Mutex<HashMap<Option<IpAddr>, Instant>>);

impl LoginThrottle {
    /// Charges a guess before it is looked at, so that guesses at one time are no cheaper. Gives how long it has to wait, or,
    /// where that is too long, after which time to come again.
    pub(crate) fn charge(&self, source: Option<IpAddr>, now: Instant) -> Result<Duration, Duration> {
        let mut debts = lock(&self.0);
        let source = source.map(neighbourhood);
        let free = debts.get(&source).copied().unwrap_or(now).max(now) + PRICE;
        let wait = (free - now).saturating_sub(CREDIT);
        if wait > LONGEST {
            return Err(wait - LONGEST);
        }
        if debts.len() >= SOURCES && !debts.contains_key(&source) {
            debts.retain(|_, free| *free > now);
            // A network full of guessers: forgetting one is better than refusing a stranger.
            if let Some(any) = debts.keys().next().copied().filter(|_| debts.len() >= SOURCES) {
                debts.remove(&any);
            }
        }
        debts.insert(source, free);
        Ok(wait)
    }

    /// Gives back what a right one was charged.
    pub(crate) fn refund(&self, source: Option<IpAddr>) {
        let mut debts = lock(&self.0);
        if let Some(free) = debts.get_mut(&source.map(neighbourhood)) {
            *free = free.checked_sub(PRICE).unwrap_or(*free);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_source_waits_once_its_credit_is_used_up_and_others_do_not() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        let waits: Vec<_> = (0..16).map(|_| throttle.charge(address("192.0.2.1"), now).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits[..7], [Ok(0), Ok(0), Ok(0), Ok(0), Ok(0), Ok(1), Ok(2)]);
        assert_eq!(waits[14..], [Ok(10), Err(Duration::from_secs(1))]);
        assert_eq!(throttle.charge(address("192.0.2.2"), now), Ok(Duration::ZERO));
        assert_eq!(throttle.charge(address("::ffff:192.0.2.1"), now), Err(Duration::from_secs(1)), "the same in another notation");
        assert_eq!(throttle.charge(address("192.0.2.1"), now + Duration::from_secs(60)), Ok(Duration::ZERO), "forgotten");
    }

    #[test]
    fn what_is_right_costs_nothing() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(throttle.charge(None, now), Ok(Duration::ZERO));
            throttle.refund(None);
        }
    }

    #[test]
    fn a_network_of_guessers_is_one_and_many_networks_are_forgotten() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for host in 0..5 {
            assert_eq!(throttle.charge(address(&format!("2001:db8::{host}")), now), Ok(Duration::ZERO));
        }
        assert_eq!(throttle.charge(address("2001:db8::99"), now), Ok(Duration::from_secs(1)));
        for network in 0..20_000_u32 {
            assert_eq!(throttle.charge(Some(IpAddr::from(network.to_be_bytes())), now), Ok(Duration::ZERO));
        }
        assert_eq!(throttle.0.lock().unwrap().len(), SOURCES);
    }
}
