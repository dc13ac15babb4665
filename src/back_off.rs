//! The pauses between the attempts at something that ends of itself: a command, a connection. It knows times alone.

use std::time::Duration;

/// Each pause is twice as long as the one before.
#[derive(Debug)]
pub(crate) struct BackOff {
    shortest: Duration,
    longest: Duration,
    /// After an attempt of this length the pause is the shortest again.
    long_run: Duration,
    next: Duration,
}

impl BackOff {
    /// Pauses from the shortest to the longest; the shortest again after an attempt of the length of `long_run`.
    pub(crate) fn new(shortest: Duration, longest: Duration, long_run: Duration) -> Self {
        Self { shortest, longest, long_run, next: shortest }
    }

    /// The pause after an attempt of this length.
    pub(crate) fn after(&mut self, run: Duration) -> Duration {
        if run >= self.long_run {
            self.next = self.shortest;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// The same with full jitter: any time up to that pause, so that many that have lost one thing do not return together.
    pub(crate) fn jittered(&mut self, run: Duration) -> Duration {
        self.after(run).mul_f64(rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_commands() -> BackOff {
        BackOff::new(Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(10))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_a_long_run_makes_them_short_again() {
        let (mut back_off, at_once) = (of_commands(), Duration::from_millis(3));
        let seconds = [0; 8].map(|_| back_off.after(at_once).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off.after(Duration::from_secs(10)).as_secs(), 1);
        assert_eq!(back_off.after(at_once).as_secs(), 2);
    }

    #[test]
    fn a_jittered_pause_is_any_time_up_to_the_whole_one() {
        let first: Vec<_> = (0..200).map(|_| of_commands().jittered(Duration::ZERO).as_secs_f64()).collect();
        assert!(first.iter().all(|pause| (0.0..1.0).contains(pause)), "{first:?}");
        let spread = |range: std::ops::Range<f64>| first.iter().any(|pause| range.contains(pause));
        assert!(spread(0.0..0.25) && spread(0.75..1.0), "{first:?}");
    }
}
