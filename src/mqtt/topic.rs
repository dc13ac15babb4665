//! How names of feeds stand in topics, and what topics are about. Every name has one topic, and comes back from it; of topics that
//! other programs use it makes names as they are.

use percent_encoding::percent_decode_str;

/// The last level of the topic about the newest part, and that about the publisher, below the prefix.
const META: &str = "meta";
const STATUS: &str = "status";
/// The longest topic in bytes (MQTT 3.1.1, section 1.5.3).
const LONGEST: usize = 65_535;

/// Where feeds are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPrefix(String);

impl TopicPrefix {
    /// The prefix that a URL without a path has.
    pub const DEFAULT: &'static str = "mxr";

    /// A prefix.
    ///
    /// # Errors
    /// Why topics cannot begin with it.
    pub fn new(path: &str) -> Result<Self, &'static str> {
        let prefix = path.trim_end_matches('/');
        match if prefix.is_empty() { Self::DEFAULT } else { prefix } {
            prefix if prefix.contains(['+', '#']) => Err("a wildcard is for those who read, not for those who publish"),
            prefix if prefix.starts_with('$') => Err("topics that begin with $ are the broker's own"),
            prefix if prefix.chars().any(char::is_control) => Err("it has control characters"),
            prefix if prefix.len() > LONGEST / 2 => Err("it is too long"),
            prefix => Ok(Self(prefix.to_owned())),
        }
    }

    /// The prefix itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic of a feed's parts.
    pub fn body(&self, name: &str) -> String {
        format!("{}/{}", self.0, escaped(name))
    }

    /// The topic about the newest part of a feed.
    pub fn meta(&self, name: &str) -> String {
        format!("{}/{META}", self.body(name))
    }

    /// The topic about the publisher.
    pub fn status(&self) -> String {
        format!("{}/{STATUS}", self.0)
    }
}

/// What a reader subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFilter {
    filter: String,
    /// The levels before the first wildcard; names do not repeat them.
    fixed: String,
}

/// What a topic is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRole {
    /// A part of the feed of this name.
    Body(String),
    /// The newest part of the feed of this name, if it is a publisher of mxr that writes it.
    Meta(String),
    /// Whether publishers are there, if it is one of mxr that writes it.
    Status,
}

impl TopicFilter {
    /// A filter from the path of a URL. One without a wildcard is the topic of one feed; one without anything is for all topics.
    ///
    /// # Errors
    /// Why it is no filter.
    pub fn new(path: &str) -> Result<Self, &'static str> {
        let path = if path.is_empty() { "#" } else { path.trim_end_matches('/') };
        let levels: Vec<&str> = path.split('/').collect();
        let is_wild = |level: &&str| matches!(*level, "+" | "#");
        if levels.iter().any(|level| level.contains(['+', '#']) && level.len() > 1) {
            return Err("a wildcard stands for a whole level, between slashes");
        }
        if levels.iter().rev().skip(1).any(|level| *level == "#") {
            return Err("# can only come last");
        }
        if path.starts_with('$') {
            return Err("topics that begin with $ are the broker's own");
        }
        if path.chars().any(char::is_control) || path.len() > LONGEST - 2 {
            return Err("it has control characters, or is too long");
        }
        let fixed: Vec<&str> = levels.iter().copied().take_while(|level| !is_wild(level)).collect();
        Ok(if fixed.len() == levels.len() {
            // That of a feed of mxr has a level more, about its newest part. `a/#` is for `a` too.
            Self { filter: format!("{path}/#"), fixed: fixed[..fixed.len() - 1].join("/") }
        } else {
            Self { filter: path.to_owned(), fixed: fixed.join("/") }
        })
    }

    /// As it is sent to the broker.
    pub fn as_str(&self) -> &str {
        &self.filter
    }

    /// Whether the topics below a prefix are among those that it is for.
    pub fn overlaps(&self, prefix: &TopicPrefix) -> bool {
        let mut own = prefix.as_str().split('/');
        for level in self.filter.split('/') {
            match (level, own.next()) {
                ("#", _) | (_, None) => return true,
                ("+", Some(_)) => {}
                (level, Some(other)) if level == other => {}
                _ => return false,
            }
        }
        true
    }

    /// What a topic is about.
    pub fn role(&self, topic: &str) -> TopicRole {
        let below = match topic.strip_prefix(self.fixed.as_str()) {
            Some(rest) if self.fixed.is_empty() => rest,
            Some(rest) => rest.strip_prefix('/').unwrap_or(rest),
            None => topic,
        };
        // The topic that all levels of the filter stand for.
        let below = if below.is_empty() { topic.rsplit('/').next().unwrap_or(topic) } else { below };
        match below.rsplit_once('/') {
            None if below == STATUS => TopicRole::Status,
            Some((name, META)) => TopicRole::Meta(unescaped(name)),
            _ => TopicRole::Body(unescaped(below)),
        }
    }
}

/// A name as it stands in a topic: wildcards and the sign of escapes are percent-encoded, and the first letter of a level that would be
/// taken for one about parts. The rest is kept, as topics are UTF-8.
fn escaped(name: &str) -> String {
    let escape = |character: char| match character {
        '%' => "%25".to_owned(),
        '+' => "%2B".to_owned(),
        '#' => "%23".to_owned(),
        other => other.to_string(),
    };
    let levels = name.split('/').map(|level| match level {
        META => "%6Deta".to_owned(),
        STATUS => "%73tatus".to_owned(),
        level => level.chars().map(escape).collect(),
    });
    levels.collect::<Vec<String>>().join("/")
}

/// The name of a topic of mxr; of one that mxr would write otherwise, the topic as it is.
fn unescaped(topic: &str) -> String {
    let decoded = percent_decode_str(topic).decode_utf8();
    decoded.ok().filter(|name| escaped(name) == topic).map_or_else(|| topic.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_readable_in_its_topic_and_comes_back_from_it() {
        let prefix = TopicPrefix::new("home/mxr/").unwrap();
        let filter = TopicFilter::new("home/mxr/#").unwrap();
        for (name, topic) in [
            ("plot.png", "home/mxr/plot.png"),
            ("Garaż 2.5", "home/mxr/Garaż 2.5"),
            ("lab/plot", "home/mxr/lab/plot"),
            ("100%", "home/mxr/100%25"),
            ("c++", "home/mxr/c%2B%2B"),
            ("C#/1", "home/mxr/C%23/1"),
            ("meta", "home/mxr/%6Deta"),
            ("lab/meta", "home/mxr/lab/%6Deta"),
            ("status", "home/mxr/%73tatus"),
            ("$SYS", "home/mxr/$SYS"),
            ("%6Deta", "home/mxr/%256Deta"),
        ] {
            assert_eq!(prefix.body(name), topic);
            assert_eq!(filter.role(topic), TopicRole::Body(name.to_owned()));
            assert_eq!(filter.role(&prefix.meta(name)), TopicRole::Meta(name.to_owned()));
        }
        assert_eq!(filter.role(&prefix.status()), TopicRole::Status);
    }

    #[test]
    fn names_of_foreign_topics_are_what_the_wildcards_stand_for() {
        for (path, topic, name) in [
            ("frigate/#", "frigate/front/person/snapshot", "front/person/snapshot"),
            ("frigate/+/person/snapshot", "frigate/front/person/snapshot", "front/person/snapshot"),
            ("frigate/front/snapshot", "frigate/front/snapshot", "snapshot"),
            ("plot", "plot", "plot"),
            ("#", "a/b", "a/b"),
            ("", "a/b", "a/b"),
            ("mxr/#", "mxr", "mxr"),
            ("x/#", "x/a%20b", "a%20b"),
        ] {
            assert_eq!(TopicFilter::new(path).unwrap().role(topic), TopicRole::Body(name.to_owned()), "{path}");
        }
        assert_eq!(TopicFilter::new("a/b").unwrap().as_str(), "a/b/#");
        assert_eq!(TopicFilter::new("a/b").unwrap().role("a/b/meta"), TopicRole::Meta("b".to_owned()));
    }

    #[test]
    fn a_filter_or_prefix_that_no_broker_takes_is_refused() {
        for path in ["a#", "a/#/b", "+a", "$SYS/#", "a\u{1}"] {
            assert!(TopicFilter::new(path).is_err(), "{path}");
        }
        for path in ["a/#", "+/a", "$share/x", "a\u{1}"] {
            assert!(TopicPrefix::new(path).is_err(), "{path}");
        }
        assert_eq!(TopicPrefix::new("").unwrap().as_str(), "mxr");
    }

    #[test]
    fn a_filter_tells_whether_it_is_for_what_is_published_below_a_prefix() {
        let overlaps = |filter: &str, prefix: &str| TopicFilter::new(filter).unwrap().overlaps(&TopicPrefix::new(prefix).unwrap());
        for (filter, prefix) in
            [("#", "mxr"), ("mxr/#", "mxr"), ("mxr/+", "mxr"), ("+/x/y", "mxr"), ("mxr/lab/plot", "mxr"), ("mxr/#", "mxr/lab")]
        {
            assert!(overlaps(filter, prefix), "{filter} {prefix}");
        }
        for (filter, prefix) in [("frigate/#", "mxr"), ("mxr/a/#", "mxr/b")] {
            assert!(!overlaps(filter, prefix), "{filter} {prefix}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_its_topic(name in "[a-z%+#$ /é]{1,12}|(meta|status|x)(/(meta|status|%6Deta)){0,3}") {
            prop_assume!(crate::feed::check_name(&name).is_ok());
            let prefix = TopicPrefix::new("p").unwrap();
            let filter = TopicFilter::new("p/#").unwrap();
            prop_assert!(!prefix.body(&name).contains(['+', '#']));
            prop_assert_eq!(filter.role(&prefix.body(&name)), TopicRole::Body(name.clone()));
            prop_assert_eq!(filter.role(&prefix.meta(&name)), TopicRole::Meta(name));
        }
    }
}
