//! Selects files of a directory by their names. It never looks at a file.

use std::ffi::OsStr;

/// Selects every name that does not begin with a dot and is not one that editors give to copies (`x~`, `#x#`), or, with a pattern,
/// those of them that match it.
#[derive(Debug, Clone, Default)]
pub struct NameFilter {
    glob: Option<String>,
    /// Names that another filter selects already.
    without: Vec<Self>,
}

impl NameFilter {
    /// Names that match `glob`: `*`, `?`, `[a-z]`, `{a,b}`; a leading `!` negates it (docs.rs/fast-glob).
    ///
    /// # Errors
    /// The mistake in the pattern.
    pub fn matching(glob: String) -> Result<Self, fast_glob::Error> {
        fast_glob::validate(&glob)?;
        Ok(Self { glob: Some(glob), without: Vec::new() })
    }

    /// The pattern, if there is one.
    pub(super) fn glob(&self) -> Option<&str> {
        self.glob.as_deref()
    }

    /// The same without the names that one of these has the pattern of.
    pub(super) fn without(self, others: &[Self]) -> Self {
        Self { without: others.to_vec(), ..self }
    }

    /// Whether it selects a file of this name.
    pub(super) fn matches(&self, name: &OsStr) -> bool {
        let bytes = name.as_encoded_bytes();
        let is_copy = bytes.ends_with(b"~") || bytes.len() > 1 && bytes.starts_with(b"#") && bytes.ends_with(b"#");
        !bytes.starts_with(b".") && !is_copy && self.covers(name) && !self.without.iter().any(|other| other.covers(name))
    }

    /// Whether its pattern matches the name, which may begin with a dot.
    pub(super) fn covers(&self, name: &OsStr) -> bool {
        self.glob.as_ref().is_none_or(|glob| fast_glob::glob_match(glob, name.as_encoded_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_selected(glob: &str, name: &str) -> bool {
        NameFilter::matching(glob.to_owned()).unwrap().matches(OsStr::new(name))
    }

    #[test]
    fn a_pattern_has_stars_sets_and_alternatives() {
        for (glob, name) in [("*.png", "a.png"), ("a?.txt", "ab.txt"), ("[a-c]*", "b"), ("*.{md,txt}", "x.md"), ("!*.md", "x.txt")]
        {
            assert!(is_selected(glob, name), "{glob} {name}");
        }
        for (glob, name) in [("*.png", "a.PNG"), ("*.png", "a.png~"), ("a?.txt", "a.txt"), ("[!a]*", "ab"), ("!*.md", "x.md")] {
            assert!(!is_selected(glob, name), "{glob} {name}");
        }
    }

    #[test]
    fn a_name_that_begins_with_a_dot_is_never_selected() {
        assert!(!NameFilter::default().matches(OsStr::new(".a.png.swp")));
        assert!(!is_selected("!*.md", ".hidden"));
        assert!(!is_selected(".*", ".hidden"));
    }

    #[test]
    fn copies_of_editors_are_never_selected() {
        for name in ["a.png~", "#a.png#", ".#a.png", ".a.png.swp"] {
            assert!(!NameFilter::default().matches(OsStr::new(name)) && !is_selected("*", name), "{name}");
        }
        assert!(is_selected("*", "#") && is_selected("*", "#1.png") && is_selected("*", "a~b"));
    }

    #[test]
    fn a_pattern_that_can_never_match_is_refused() {
        for glob in ["[a", "{a,b", "a\\"] {
            assert!(NameFilter::matching(glob.to_owned()).is_err(), "{glob}");
        }
    }
}
