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
    /// The levels before the first wildcard, and before the last level; names do not repeat them.
    fixed: String,
}

/// What a topic is about, where it is one of mxr. Other programs may have topics of such names with something else in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicRole<'a> {
    /// The parts of a feed.
    Body,
    /// The newest part of the feed whose parts are in this topic.
    Meta(&'a str),
    /// Whether publishers of this prefix are there.
    Status(&'a str),
}

impl<'a> TopicRole<'a> {
    /// The role of a topic.
    pub fn of(topic: &'a str) -> Self {
        match topic.rsplit_once('/') {
            Some((body, META)) => Self::Meta(body),
            Some((prefix, STATUS)) => Self::Status(prefix),
            _ => Self::Body,
        }
    }
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
        if path.chars().any(char::is_control) || path.len() > LONGEST / 2 {
            return Err("it has control characters, or is too long");
        }
        let fixed: Vec<&str> = levels[..levels.len() - 1].iter().copied().take_while(|level| !is_wild(level)).collect();
        Ok(Self { filter: path.to_owned(), fixed: fixed.join("/") })
    }

    /// As the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.filter
    }

    /// Whether it is the topic of one feed.
    pub fn is_one_topic(&self) -> bool {
        !self.filter.split('/').any(|level| matches!(level, "+" | "#"))
    }

    /// What is sent to the broker: the filter itself first, then what mxr publishes about the parts in those topics.
    pub fn subscriptions(&self) -> Vec<String> {
        let mut all = vec![self.filter.clone()];
        if !self.is_open() {
            all.push(format!("{}/{META}", self.filter));
        }
        let ends = self.fixed.match_indices('/').map(|(at, _)| at).chain(Some(self.fixed.len()));
        let statuses = ends.filter(|end| *end > 0).map(|end| format!("{}/{STATUS}", &self.fixed[..end]));
        all.extend(statuses.filter(|status| !self.covers(status)));
        all
    }

    /// Whether it is for all levels below.
    fn is_open(&self) -> bool {
        self.filter == "#" || self.filter.ends_with("/#")
    }

    /// Whether it is for this topic.
    fn covers(&self, topic: &str) -> bool {
        let mut levels = topic.split('/');
        for level in self.filter.split('/') {
            match (level, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (level, Some(other)) if level == other => {}
                _ => return false,
            }
        }
        levels.next().is_none()
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
        // A filter of fewer levels, without the wildcard for all below, is for no topic there.
        false
    }

    /// The name of the feed whose parts are in this topic; nothing if the filter is not for it.
    pub fn name(&self, topic: &str) -> Option<String> {
        if topic.starts_with('$') || !self.covers(topic) {
            return None;
        }
        let below = match topic.strip_prefix(self.fixed.as_str()) {
            Some(rest) if self.fixed.is_empty() => rest,
            Some(rest) => rest.strip_prefix('/').unwrap_or(rest),
            None => topic,
        };
        // `a/#` is for `a` too.
        let below = if below.is_empty() { topic.rsplit('/').next().unwrap_or(topic) } else { below };
        Some(unescaped(below))
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

    fn name(filter: &str, topic: &str) -> Option<String> {
        TopicFilter::new(filter).unwrap().name(topic)
    }

    #[test]
    fn a_name_is_readable_in_its_topic_and_comes_back_from_it() {
        let prefix = TopicPrefix::new("home/mxr/").unwrap();
        for (feed, topic) in [
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
            assert_eq!(prefix.body(feed), topic);
            assert_eq!((TopicRole::of(topic), name("home/mxr/#", topic).as_deref()), (TopicRole::Body, Some(feed)));
            assert_eq!(TopicRole::of(&prefix.meta(feed)), TopicRole::Meta(topic));
        }
        assert_eq!(TopicRole::of(&prefix.status()), TopicRole::Status("home/mxr"));
    }

    #[test]
    fn names_of_foreign_topics_are_what_the_wildcards_stand_for() {
        for (filter, topic, expected) in [
            ("frigate/#", "frigate/front/person/snapshot", "front/person/snapshot"),
            ("frigate/+/person/snapshot", "frigate/front/person/snapshot", "front/person/snapshot"),
            ("frigate/front/snapshot", "frigate/front/snapshot", "snapshot"),
            ("plot", "plot", "plot"),
            ("#", "a/b", "a/b"),
            ("", "a/b", "a/b"),
            ("mxr/#", "mxr", "mxr"),
            ("x/#", "x/a%20b", "a%20b"),
        ] {
            assert_eq!(name(filter, topic).as_deref(), Some(expected), "{filter}");
        }
        for (filter, topic) in [("a/b", "a/b/c"), ("a/+", "a/b/meta"), ("a/b", "a"), ("#", "$SYS/broker/uptime")] {
            assert_eq!(name(filter, topic), None, "{filter} {topic}");
        }
    }

    #[test]
    fn a_reader_asks_for_what_is_told_of_the_parts_too() {
        for (filter, all) in [
            ("#", &["#"][..]),
            ("mxr/#", &["mxr/#"]),
            ("mxr/lab/#", &["mxr/lab/#", "mxr/status"]),
            ("mxr/lab/plot", &["mxr/lab/plot", "mxr/lab/plot/meta", "mxr/status", "mxr/lab/status"]),
            ("mxr/+", &["mxr/+", "mxr/+/meta"]),
            ("+/cam", &["+/cam", "+/cam/meta"]),
            ("plot", &["plot", "plot/meta"]),
        ] {
            assert_eq!(TopicFilter::new(filter).unwrap().subscriptions(), all, "{filter}");
        }
        assert!(TopicFilter::new("a/b").unwrap().is_one_topic() && !TopicFilter::new("a/#").unwrap().is_one_topic());
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
        for (filter, prefix) in [("frigate/#", "mxr"), ("mxr/a/#", "mxr/b"), ("mxr/plot", "mxr/plot")] {
            assert!(!overlaps(filter, prefix), "{filter} {prefix}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_its_topic(feed in "[a-z%+#$ /é]{1,12}|(meta|status|x)(/(meta|status|%6Deta)){0,3}") {
            prop_assume!(crate::feed::check_name(&feed).is_ok());
            let prefix = TopicPrefix::new("p").unwrap();
            let (body, meta) = (prefix.body(&feed), prefix.meta(&feed));
            prop_assert!(!body.contains(['+', '#']));
            prop_assert_eq!((TopicRole::of(&body), name("p/#", &body)), (TopicRole::Body, Some(feed.clone())));
            prop_assert_eq!(TopicRole::of(&meta), TopicRole::Meta(body.as_str()));
        }
    }
}
