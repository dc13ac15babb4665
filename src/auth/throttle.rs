//! Bounds what guesses at passwords and tokens cost, for each source address by itself: after a few wrong ones their answers come
//! late, and of all sources together one is hashed at a time. A right secret is never charged. It knows addresses and times, not
//! secrets.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, sleep, timeout},
};

use crate::{net::neighbourhood, sync::Mutex};

/// What a wrong guess costs.
const PRICE: Duration = Duration::from_secs(1);
/// What a source may owe before its wrong guesses are answered late: people mistype, and a browser asks several times at once.
const CREDIT: Duration = Duration::from_secs(5);
/// The longest wait for an answer; a source that owes more is told so at once.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Source addresses that are remembered.
const SOURCES: usize = 10_000;
/// Hashes that are computed at once: each takes a core for up to a second, by design.
const HASHING: usize = 1;

/// What each source address owes, and its guesses that wait to be hashed.
#[derive(Debug)]
pub(crate) struct LoginThrottle {
    sources: Mutex<HashMap<Option<IpAddr>, Arc<Source>>>,
    hashing: Arc<Semaphore>,
}

/// Too many wrong guesses of one source: the next is heard again after this time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) Duration);

#[derive(Debug)]
struct Source {
    /// When its wrong guesses will be paid off.
    paid_off: Mutex<Instant>,
    line: Arc<Line>,
}

/// The guesses of one source that wait to be hashed.
#[derive(Debug, Default)]
struct Line(Mutex<LineState>);

#[derive(Debug, Default)]
struct LineState {
    /// Whether a guess has the turn.
    is_taken: bool,
    /// In the order of their arrival. The turn goes to the newest and to the oldest by turns: a crowd in front of a right guess
    /// does not hold it up, and a crowd behind it does not overtake it for ever.
    guesses: VecDeque<oneshot::Sender<LineTurn>>,
    is_oldest_next: bool,
}

/// The turn of one guess among those of its source; dropped, it goes to the next.
#[derive(Debug)]
struct LineTurn(Arc<Line>);

/// The right to hash, until it is dropped.
#[derive(Debug)]
pub(crate) struct HashPermit {
    _of_source: LineTurn,
    _of_all: OwnedSemaphorePermit,
}

impl LoginThrottle {
    /// Charges a source for a wrong guess, and waits as long as its answer is delayed. A guess that was hashed waits longest where
    /// the source owes too much already: the answer is what the next guess waits for.
    ///
    /// # Errors
    /// Where the source owes too much. Then the guess costs nothing more.
    pub(crate) async fn charge(&self, address: Option<IpAddr>, was_hashed: bool) -> Result<(), TooMany> {
        match self.source(address).charge() {
            Ok(wait) => {
                sleep(wait).await;
                Ok(())
            }
            Err(too_many) => {
                if was_hashed {
                    sleep(MAX_WAIT).await;
                }
                Err(too_many)
            }
        }
    }

    /// Waits for the turn of a guess to be hashed. Of each source at most one stands in line with those of other sources, so that
    /// a crowd of guesses holds up its own source alone. A dropped future leaves the line.
    ///
    /// # Errors
    /// Where the turn has not come in time and the source has guessed wrong. As long as nothing of a source was wrong, its guesses
    /// are never refused, however many come at once.
    pub(crate) async fn hash_turn(&self, address: Option<IpAddr>) -> Result<HashPermit, TooMany> {
        let source = self.source(address);
        let mut turn = pin!(Line::turn(&source.line));
        let turn = match timeout(MAX_WAIT, &mut turn).await {
            Ok(turn) => turn,
            Err(_) if source.owes() => return Err(TooMany(PRICE)),
            Err(_) => turn.await,
        };
        // The semaphore is never closed.
        let of_all = self.hashing.clone().acquire_owned().await.map_err(|_| TooMany(PRICE))?;
        Ok(HashPermit { _of_source: turn, _of_all: of_all })
    }

    fn source(&self, address: Option<IpAddr>) -> Arc<Source> {
        let (address, mut sources) = (address.map(neighbourhood), self.sources.lock());
        if let Some(source) = sources.get(&address) {
            return source.clone();
        }
        if sources.len() >= SOURCES {
            sources.retain(|_, source| Arc::strong_count(source) > 1 || source.owes());
        }
        if sources.len() >= SOURCES {
            // A network full of guessers: forgetting a few is better than refusing a stranger.
            let few: Vec<_> = sources.keys().take(SOURCES / 10).copied().collect();
            few.iter().for_each(|address| _ = sources.remove(address));
        }
        let source = Arc::new(Source { paid_off: Mutex::new(Instant::now()), line: Arc::default() });
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
    /// For how long the answer to a wrong guess is delayed.
    fn charge(&self) -> Result<Duration, TooMany> {
        let (now, mut paid_off) = (Instant::now(), self.paid_off.lock());
        let debt = paid_off.saturating_duration_since(now) + PRICE;
        let wait = debt.saturating_sub(CREDIT);
        if wait > MAX_WAIT {
            return Err(TooMany(wait - MAX_WAIT));
        }
        *paid_off = now + debt;
        Ok(wait)
    }

    fn owes(&self) -> bool {
        *self.paid_off.lock() > Instant::now()
    }
}

impl Line {
    async fn turn(this: &Arc<Self>) -> LineTurn {
        match this.join() {
            None => LineTurn(this.clone()),
            Some(coming) => coming.await.unwrap_or_else(|_| LineTurn(this.clone())),
        }
    }

    /// Takes the turn if it is free, otherwise a place in the line.
    fn join(&self) -> Option<oneshot::Receiver<LineTurn>> {
        let mut waiting = self.0.lock();
        if !waiting.is_taken {
            waiting.is_taken = true;
            return None;
        }
        // Guesses that gave up would stay as long as new ones come.
        if waiting.guesses.len().is_power_of_two() {
            waiting.guesses.retain(|guess| !guess.is_closed());
        }
        let (sender, coming) = oneshot::channel();
        waiting.guesses.push_back(sender);
        Some(coming)
    }

    /// The next guess that still waits; without one the turn is free.
    fn next(&self) -> Option<oneshot::Sender<LineTurn>> {
        let mut waiting = self.0.lock();
        waiting.is_oldest_next = !waiting.is_oldest_next;
        while let Some(guess) = if waiting.is_oldest_next { waiting.guesses.pop_front() } else { waiting.guesses.pop_back() } {
            if !guess.is_closed() {
                return Some(guess);
            }
        }
        waiting.is_taken = false;
        None
    }
}

impl Drop for LineTurn {
    fn drop(&mut self) {
        if let Some(guess) = self.0.next() {
            // Where the guess leaves at this moment, its turn is dropped, and the next one gets it.
            let _ = guess.send(LineTurn(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    const ONE: &str = "192.0.2.1";

    /// A wrong guess, and when it was answered, in seconds.
    fn wrong(throttle: &Arc<LoginThrottle>, address: &str) -> JoinHandle<Result<u64, TooMany>> {
        let (throttle, address, start) = (throttle.clone(), Some(address.parse().unwrap()), Instant::now());
        tokio::spawn(async move { throttle.charge(address, false).await.map(|()| start.elapsed().as_secs()) })
    }

    /// A guess that takes a second to hash.
    fn hashed(throttle: &Arc<LoginThrottle>, address: &str) -> JoinHandle<Result<Instant, TooMany>> {
        let (throttle, address) = (throttle.clone(), address.parse().ok());
        tokio::spawn(async move {
            let _turn = throttle.hash_turn(address).await?;
            sleep(Duration::from_secs(1)).await;
            Ok(Instant::now())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_waits_once_its_credit_is_used_up_and_others_do_not() {
        let throttle = Arc::new(LoginThrottle::default());
        let crowd: Vec<_> = (0..17).map(|_| wrong(&throttle, ONE)).collect();
        yield_now().await;
        assert_eq!(wrong(&throttle, "192.0.2.2").await.unwrap(), Ok(0));
        let same = wrong(&throttle, "::ffff:192.0.2.1").await.unwrap();
        assert_eq!(same, Err(TooMany(Duration::from_secs(1))), "the same address in another notation");
        let mut ends = Vec::new();
        for guess in crowd {
            ends.push(guess.await.unwrap());
        }
        assert_eq!(ends[..7], [Ok(0), Ok(0), Ok(0), Ok(0), Ok(0), Ok(1), Ok(2)]);
        assert_eq!(ends[14..], [Ok(10), Err(TooMany(Duration::from_secs(1))), Err(TooMany(Duration::from_secs(1)))]);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(wrong(&throttle, ONE).await.unwrap(), Ok(0), "forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hashed_guess_too_many_is_answered_late() {
        let (throttle, start) = (LoginThrottle::default(), Instant::now());
        for _ in 0..1000 {
            let _ = throttle.source(None).charge();
        }
        let answer = throttle.charge(None, true).await;
        assert_eq!((answer, start.elapsed()), (Err(TooMany(Duration::from_secs(1))), MAX_WAIT), "and the debt has a bound");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_guessers_is_one_source_and_many_networks_are_forgotten() {
        let throttle = Arc::new(LoginThrottle::default());
        for host in 0..5 {
            assert_eq!(wrong(&throttle, &format!("2001:db8::{host}")).await.unwrap(), Ok(0));
        }
        assert_eq!(wrong(&throttle, "2001:db8::99").await.unwrap(), Ok(1));
        for network in 0..20_000_u32 {
            let _ = throttle.source(Some(IpAddr::from(network.to_be_bytes()))).charge();
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
        assert_eq!(stranger.await.unwrap().unwrap() - start, Duration::from_secs(2), "behind the one that is being hashed");
        assert_eq!(other.await.unwrap().unwrap() - start, Duration::from_secs(3));
        for one in crowd {
            one.await.unwrap().unwrap();
        }
        assert_eq!(start.elapsed(), Duration::from_secs(22), "one at a time, and none is refused");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_a_crowd_in_front_nor_one_behind_keeps_a_guess_from_its_turn() {
        let (throttle, start) = (Arc::new(LoginThrottle::default()), Instant::now());
        let mut crowd: Vec<_> = (0..50).map(|_| hashed(&throttle, ONE)).collect();
        yield_now().await;
        let behind = hashed(&throttle, ONE).await.unwrap().unwrap() - start;
        assert!(behind <= Duration::from_secs(3), "{behind:?}");
        sleep(Duration::from_secs(60)).await;
        let (start, guess) = (Instant::now(), hashed(&throttle, ONE));
        for _ in 0..20 {
            crowd.extend((0..10).map(|_| hashed(&throttle, ONE)));
            sleep(Duration::from_millis(200)).await;
        }
        let in_front = guess.await.unwrap().unwrap() - start;
        assert!(in_front <= Duration::from_secs(4), "{in_front:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guess_that_waits_too_long_is_refused_if_its_source_guesses_wrong() {
        let throttle = Arc::new(LoginThrottle::default());
        let crowd: Vec<_> = (0..30).map(|_| hashed(&throttle, ONE)).collect();
        sleep(MAX_WAIT - PRICE / 2).await;
        throttle.charge(ONE.parse().ok(), true).await.unwrap();
        let mut refused = 0;
        for one in crowd {
            refused += usize::from(one.await.unwrap().is_err());
        }
        assert!((15..25).contains(&refused), "{refused} of 30");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guess_whose_peer_leaves_takes_no_turn() {
        let (throttle, start) = (Arc::new(LoginThrottle::default()), Instant::now());
        let first = hashed(&throttle, ONE);
        let abandoned: Vec<_> = (3..20).map(|host| hashed(&throttle, &format!("192.0.2.{host}"))).collect();
        let of_one: Vec<_> = (0..5000).map(|_| hashed(&throttle, ONE)).collect();
        yield_now().await;
        abandoned.iter().chain(&of_one).for_each(JoinHandle::abort);
        yield_now().await;
        let last = hashed(&throttle, ONE);
        first.await.unwrap().unwrap();
        assert_eq!(last.await.unwrap().unwrap() - start, Duration::from_secs(2));
        let held = throttle.source(ONE.parse().ok()).line.0.lock().guesses.len();
        assert_eq!(held, 0, "nothing is kept of those that left");
    }
}
