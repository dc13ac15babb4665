//! Bounds guesses at passwords and tokens, for each source address by itself: a few are judged at once, then one a second, and
//! of all sources together one is hashed at a time. It knows addresses and times, not secrets.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

use crate::{net::neighbourhood, sync::Mutex};

/// What a wrong guess costs.
const PRICE: Duration = Duration::from_secs(1);
/// What a source may owe before its guesses wait: people mistype, and a browser asks several times at once.
const CREDIT: Duration = Duration::from_secs(5);
/// The longest wait of a source that owes anything; beyond it a guess is refused.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Source addresses that are remembered.
const SOURCES: usize = 10_000;
/// Hashes that are computed at once: each takes a core for up to a second, by design.
const HASHING: usize = 1;

/// What each source address owes, and its guesses that wait.
#[derive(Debug)]
pub(crate) struct LoginThrottle {
    sources: Mutex<HashMap<Option<IpAddr>, Arc<Source>>>,
    hashing: Arc<Semaphore>,
}

/// Too many guesses of one source: the next is admitted after this time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) Duration);

#[derive(Debug)]
struct Source {
    account: Mutex<Account>,
    /// The guess that is admitted next; the others wait behind it in the order in which they came.
    first_in_line: Semaphore,
    /// Wakes the first in line when a guess has been judged.
    judged: Notify,
    /// The guess of this source that is hashed, or waits for the one of another source.
    hashing: Arc<Semaphore>,
}

#[derive(Debug)]
struct Account {
    /// When its wrong guesses will be paid off.
    paid_off: Instant,
    /// Guesses that are being judged. Each may turn out wrong, so it counts against the credit, but a right one costs nothing.
    in_flight: u32,
    waiting: u32,
}

/// The right to have a guess judged. Dropped, it costs what a wrong guess costs.
#[derive(Debug)]
pub(crate) struct Permit {
    source: Arc<Source>,
    hashing: Arc<Semaphore>,
    is_right: bool,
}

/// The right to hash, until it is dropped.
#[derive(Debug)]
pub(crate) struct HashPermit {
    _of_source: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl LoginThrottle {
    /// Waits until a guess of this source may be judged. A dropped future gives up its place.
    ///
    /// # Errors
    /// Where the source has guessed wrong and the wait would be too long. As long as nothing of a source was wrong, its guesses
    /// are never refused, however many come at once.
    pub(crate) async fn admit(&self, address: Option<IpAddr>) -> Result<Permit, TooMany> {
        let (source, arrival) = (self.source(address.map(neighbourhood)), Instant::now());
        source.expect_short_line()?;
        let place = Place::take(&source);
        // The semaphore is never closed.
        let _first = source.first_in_line.acquire().await;
        loop {
            let judged = source.judged.notified();
            let delay = source.account().delay(0);
            if delay.is_zero() {
                break;
            }
            if arrival.elapsed() > MAX_WAIT && source.account().owes() {
                return Err(TooMany(delay));
            }
            tokio::select! {
                () = judged => {}
                () = sleep(delay) => {}
            }
        }
        drop(place);
        source.account().in_flight += 1;
        Ok(Permit { source: source.clone(), hashing: self.hashing.clone(), is_right: false })
    }

    fn source(&self, address: Option<IpAddr>) -> Arc<Source> {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get(&address) {
            return source.clone();
        }
        if sources.len() >= SOURCES {
            sources.retain(|_, source| Arc::strong_count(source) > 1 || source.account().owes());
        }
        if sources.len() >= SOURCES {
            // A network full of guessers: forgetting a few is better than refusing a stranger.
            let few: Vec<_> = sources.keys().take(SOURCES / 10).copied().collect();
            few.iter().for_each(|address| _ = sources.remove(address));
        }
        let source = Arc::new(Source::new());
        sources.insert(address, source.clone());
        source
    }
}

impl Default for LoginThrottle {
    fn default() -> Self {
        Self { sources: Mutex::default(), hashing: Arc::new(Semaphore::new(HASHING)) }
    }
}

impl Source {
    fn new() -> Self {
        let account = Account { paid_off: Instant::now(), in_flight: 0, waiting: 0 };
        Self {
            account: Mutex::new(account),
            first_in_line: Semaphore::new(1),
            judged: Notify::new(),
            hashing: Arc::new(Semaphore::new(1)),
        }
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock()
    }

    fn expect_short_line(&self) -> Result<(), TooMany> {
        let account = self.account();
        let delay = account.delay(account.waiting);
        if account.owes() && delay > MAX_WAIT { Err(TooMany(delay - MAX_WAIT)) } else { Ok(()) }
    }
}

impl Account {
    /// Whether a guess was wrong, so recently that it is not paid off.
    fn owes(&self) -> bool {
        self.paid_off > Instant::now()
    }

    /// How long a guess waits that has so many in front of it in the line, if all are wrong.
    fn delay(&self, in_front: u32) -> Duration {
        let debt = self.paid_off.saturating_duration_since(Instant::now());
        (debt + PRICE * (self.in_flight + in_front + 1)).saturating_sub(CREDIT)
    }
}

/// A place in the line of a source, until it is dropped.
struct Place<'a>(&'a Source);

impl<'a> Place<'a> {
    fn take(source: &'a Source) -> Self {
        source.account().waiting += 1;
        Self(source)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.account().waiting -= 1;
    }
}

impl Permit {
    /// The guess was right, so it costs nothing.
    pub(crate) fn forgive(mut self) {
        self.is_right = true;
    }

    /// Waits for the turn of this guess to be hashed. Of each source at most one stands in line with those of other sources, so
    /// that a crowd of guesses holds up its own source alone. A dropped future leaves the line.
    pub(crate) async fn hash_turn(&self) -> Option<HashPermit> {
        let of_source = self.source.hashing.clone().acquire_owned().await.ok()?;
        let of_all = self.hashing.clone().acquire_owned().await.ok()?;
        Some(HashPermit { _of_source: of_source, _of_all: of_all })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut account = self.source.account();
        account.in_flight -= 1;
        if !self.is_right {
            account.paid_off = account.paid_off.max(Instant::now()) + PRICE;
        }
        drop(account);
        self.source.judged.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    const ONE: &str = "192.0.2.1";

    /// A guess of which it is known how it turns out, and when it was judged, in seconds.
    fn guess(throttle: &Arc<LoginThrottle>, address: &str, is_right: bool) -> JoinHandle<Result<u64, TooMany>> {
        let (throttle, address, start) = (throttle.clone(), Some(address.parse().unwrap()), Instant::now());
        tokio::spawn(async move {
            let permit = throttle.admit(address).await?;
            if is_right {
                permit.forgive();
            }
            Ok(start.elapsed().as_secs())
        })
    }

    /// A guess that takes a second to hash.
    fn hashed(throttle: &Arc<LoginThrottle>, address: &str) -> JoinHandle<Instant> {
        let (throttle, address) = (throttle.clone(), address.parse().ok());
        tokio::spawn(async move {
            let permit = throttle.admit(address).await.unwrap();
            let _turn = permit.hash_turn().await;
            sleep(Duration::from_secs(1)).await;
            permit.forgive();
            Instant::now()
        })
    }

    async fn all(guesses: Vec<JoinHandle<Result<u64, TooMany>>>) -> Vec<Result<u64, TooMany>> {
        let mut ends = Vec::new();
        for guess in guesses {
            ends.push(guess.await.unwrap());
        }
        ends
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_waits_once_its_credit_is_used_up_and_others_do_not() {
        let throttle = Arc::new(LoginThrottle::default());
        let crowd: Vec<_> = (0..17).map(|_| guess(&throttle, ONE, false)).collect();
        yield_now().await;
        assert_eq!(guess(&throttle, "192.0.2.2", false).await.unwrap(), Ok(0));
        let same = guess(&throttle, "::ffff:192.0.2.1", false).await.unwrap();
        assert_eq!(same, Err(TooMany(Duration::from_secs(1))), "the same address in another notation");
        let ends = all(crowd).await;
        assert_eq!(ends[..7], [Ok(0), Ok(0), Ok(0), Ok(0), Ok(0), Ok(1), Ok(2)]);
        assert_eq!(ends[14..], [Ok(10), Err(TooMany(Duration::from_secs(1))), Err(TooMany(Duration::from_secs(1)))]);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(guess(&throttle, ONE, false).await.unwrap(), Ok(0), "forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn right_guesses_cost_nothing_one_by_one_and_all_at_once() {
        let throttle = Arc::new(LoginThrottle::default());
        for _ in 0..100 {
            assert_eq!(guess(&throttle, ONE, true).await.unwrap(), Ok(0));
        }
        let crowd = (0..100).map(|_| guess(&throttle, ONE, true)).collect();
        assert!(all(crowd).await.iter().all(|end| *end == Ok(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn right_guesses_wait_for_a_hash_and_for_no_payment() {
        let throttle = Arc::new(LoginThrottle::default());
        let start = Instant::now();
        let mut in_flight = Vec::new();
        for _ in 0..5 {
            in_flight.push(throttle.admit(ONE.parse().ok()).await.unwrap());
        }
        let others: Vec<_> = (0..20).map(|_| guess(&throttle, ONE, true)).collect();
        sleep(Duration::from_millis(300)).await;
        assert!(others.iter().all(|other| !other.is_finished()), "any of those in flight may be wrong");
        in_flight.pop().unwrap().forgive();
        assert!(all(others).await.iter().all(|end| *end == Ok(0)));
        assert_eq!(start.elapsed(), Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_guesses_that_came_at_once_are_refused_after_a_while() {
        let (throttle, start) = (Arc::new(LoginThrottle::default()), Instant::now());
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let throttle = throttle.clone();
            crowd.spawn(async move {
                let permit = throttle.admit(ONE.parse().ok()).await?;
                let _turn = permit.hash_turn().await;
                sleep(Duration::from_millis(500)).await;
                Ok::<_, TooMany>(())
            });
        }
        let judged = crowd.join_all().await.iter().filter(|end| end.is_ok()).count();
        assert!((14..18).contains(&judged), "{judged}");
        assert!(start.elapsed() < MAX_WAIT + Duration::from_secs(4), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_guessers_is_one_source_and_many_networks_are_forgotten() {
        let throttle = Arc::new(LoginThrottle::default());
        for host in 0..5 {
            assert_eq!(guess(&throttle, &format!("2001:db8::{host}"), false).await.unwrap(), Ok(0));
        }
        assert_eq!(guess(&throttle, "2001:db8::99", false).await.unwrap(), Ok(1));
        for network in 0..20_000_u32 {
            drop(throttle.admit(Some(IpAddr::from(network.to_be_bytes()))).await.unwrap());
        }
        let remembered = throttle.sources.lock().len();
        assert!((SOURCES / 2..=SOURCES).contains(&remembered), "{remembered}");
    }

    #[tokio::test(start_paused = true)]
    async fn sources_take_turns_at_hashing_however_many_guesses_one_has() {
        let (throttle, start) = (Arc::new(LoginThrottle::default()), Instant::now());
        let crowd: Vec<_> = (0..20).map(|_| hashed(&throttle, ONE)).collect();
        yield_now().await;
        let [stranger, other] = ["192.0.2.2", "2001:db8::1"].map(|source| hashed(&throttle, source));
        assert_eq!(stranger.await.unwrap() - start, Duration::from_secs(2), "behind the one that is being hashed");
        assert_eq!(other.await.unwrap() - start, Duration::from_secs(3));
        for one in crowd {
            one.await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::from_secs(22), "one at a time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guess_whose_peer_leaves_takes_no_turn() {
        let (throttle, start) = (Arc::new(LoginThrottle::default()), Instant::now());
        let first = hashed(&throttle, ONE);
        let abandoned: Vec<_> = (3..20).map(|host| hashed(&throttle, &format!("192.0.2.{host}"))).collect();
        yield_now().await;
        abandoned.iter().for_each(JoinHandle::abort);
        let last = hashed(&throttle, "192.0.2.2");
        first.await.unwrap();
        assert_eq!(last.await.unwrap() - start, Duration::from_secs(2));
    }
}
