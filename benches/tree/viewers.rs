//! Viewers of a leaf: whether each gets every line once and in order, pictures in order, and how old they are.

use crate::{
    parts::{Part, micros},
    viewing::{Reader, connect, quantile, read_all},
};

/// What one viewer has seen of one feed.
#[derive(Clone, Default)]
struct Seen {
    number: u64,
    sequence: u64,
}

/// What all viewers have seen.
#[derive(Default)]
struct Sums {
    lines: u64,
    lost: u64,
    repeated: u64,
    dropped: u64,
    pictures: u64,
    disordered: u64,
    line_ages: Vec<u32>,
    picture_ages: Vec<u32>,
}

/// Reads `target` of `server` over `count` connections. Prints, when told to stop: lines, those lost, repeated, told to be dropped,
/// pictures, those out of order, the last line of the viewer that is furthest behind, and p50 and p99 of the ages of lines and pictures.
pub(crate) fn run(server: &str, target: &str, count: usize) {
    let streams = (0..count).map(|_| connect(server, target)).collect();
    let mut crowd = Crowd { lines: vec![Seen::default(); count], pictures: vec![Seen::default(); count], sums: Sums::default() };
    read_all(streams, &mut crowd);
    let behind = crowd.progress();
    let Sums { lines, lost, repeated, dropped, pictures, disordered, mut line_ages, mut picture_ages } = crowd.sums;
    let ages = [0.5, 0.99].map(|share| quantile(&mut line_ages, share));
    let picture_ages = [0.5, 0.99].map(|share| quantile(&mut picture_ages, share));
    println!(
        "{lines} {lost} {repeated} {dropped} {pictures} {disordered} {behind} {} {} {} {}",
        ages[0], ages[1], picture_ages[0], picture_ages[1]
    );
}

struct Crowd {
    lines: Vec<Seen>,
    pictures: Vec<Seen>,
    sums: Sums,
}

impl Reader for Crowd {
    fn take(&mut self, viewer: usize, part: &Part<'_>, is_measured: bool) {
        if part.is_line() {
            self.sums.line(&mut self.lines[viewer], part, is_measured);
        } else {
            self.sums.picture(&mut self.pictures[viewer], part, is_measured);
        }
    }

    /// The last line of the viewer that is furthest behind.
    fn progress(&self) -> u64 {
        self.lines.iter().map(|seen| seen.number).min().unwrap_or(0)
    }
}

impl Sums {
    fn line(&mut self, seen: &mut Seen, part: &Part<'_>, is_measured: bool) {
        let ((number, at), sequence) = (part.stamp(), part.sequence());
        // The newest part again, as a sign of life.
        if sequence == seen.sequence {
            return;
        }
        match number {
            _ if seen.number == 0 => {}
            number if number <= seen.number => self.repeated += 1,
            number => self.lost += number - seen.number - 1,
        }
        self.lines += 1;
        self.dropped += part.dropped();
        *seen = Seen { number: number.max(seen.number), sequence };
        if is_measured {
            self.line_ages.push((micros() - at) as u32);
        }
    }

    fn picture(&mut self, seen: &mut Seen, part: &Part<'_>, is_measured: bool) {
        let ((number, at), sequence) = (part.stamp(), part.sequence());
        if sequence == seen.sequence {
            return;
        }
        self.disordered += u64::from(number <= seen.number);
        self.pictures += 1;
        *seen = Seen { number, sequence };
        if is_measured {
            self.picture_ages.push((micros() - at) as u32);
        }
    }
}
