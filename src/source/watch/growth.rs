//! Notices a large text that grows and is sent whole each time: its lines as a feed would be a fraction of that. It compares bytes,
//! and says nothing itself.

use std::path::Path;

/// From this size on, in bytes, sending a text whole is worth a hint.
const LARGE: usize = 64 << 10;
/// So often in a row it has to have grown.
const OFTEN: u32 = 3;

/// What the last bodies of one path told.
#[derive(Debug, Default)]
pub(super) struct Growth {
    count: u32,
}

impl Growth {
    /// Takes a text and the one before it; tells, once, that the text keeps growing at its end.
    pub(super) fn is_worth_a_hint(&mut self, before: &[u8], now: &[u8]) -> bool {
        let has_grown = now.len() >= LARGE && now.len() > before.len() && !before.is_empty() && now.starts_with(before);
        match has_grown {
            _ if self.count >= OFTEN => false,
            true => {
                self.count += 1;
                self.count == OFTEN
            }
            false => {
                self.count = 0;
                false
            }
        }
    }
}

/// The option that makes a feed of lines of this file.
pub(super) fn tail_option(file: &Path) -> String {
    match (file.extension(), file.file_name()) {
        (Some(extension), _) => format!("--tail '*.{}'", extension.to_string_lossy()),
        (None, name) => format!("--tail '{}'", name.unwrap_or_default().to_string_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_text_that_keeps_growing_is_worth_one_hint() {
        let text = |length: usize| vec![b'x'; length];
        let mut growth = Growth::default();
        let hints = (1..10).map(|n| growth.is_worth_a_hint(&text(LARGE + n), &text(LARGE + n + 1)));
        assert_eq!(hints.filter(|is_hint| *is_hint).count(), 1);
        let mut growth = Growth::default();
        assert!((1..10).all(|n| !growth.is_worth_a_hint(&text(n), &text(n + 1))), "a small one may be sent whole");
        let other = [b"y".to_vec(), text(LARGE)].concat();
        let mut changing = [text(LARGE), other.clone(), text(LARGE + 2)].into_iter().cycle().take(20).collect::<Vec<_>>();
        changing.dedup();
        assert!(changing.windows(2).all(|pair| !growth.is_worth_a_hint(&pair[0], &pair[1])), "it changes elsewhere, too");
    }

    #[test]
    fn the_option_names_the_kind_of_file() {
        assert_eq!(tail_option(Path::new("/a/job.out")), "--tail '*.out'");
        assert_eq!(tail_option(Path::new("/a/syslog")), "--tail 'syslog'");
    }
}
