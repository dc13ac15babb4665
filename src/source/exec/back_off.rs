//! The pauses between the runs of a command that ends of itself. It knows times, and no command.

use std::time::Duration;

/// The pause after the first run.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// After a run of this length the pause is the shortest again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Each pause is twice as long as the one before.
#[derive(Debug)]
pub(super) struct BackOff {
    next: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl BackOff {
    /// The pause after a run of this length.
    pub(super) fn after(&mut self, run: Duration) -> Duration {
        if run >= LONG_RUN {
            self.next = SHORTEST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_a_long_run_makes_them_short_again() {
        let (mut back_off, at_once) = (BackOff::default(), Duration::from_millis(3));
        let seconds = [0; 8].map(|_| back_off.after(at_once).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off.after(LONG_RUN), SHORTEST);
        assert_eq!(back_off.after(at_once).as_secs(), 2);
    }
}
