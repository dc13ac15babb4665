//! URLs as people and servers write them.

use proptest::prelude::*;

use super::{super::digest::Covered, *};

fn parse(text: &str) -> Result<Target, TargetError> {
    text.parse()
}

#[test]
fn a_url_is_taken_apart_and_shown_without_what_is_secret() {
    for (text, shown) in [
        ("http://Camera", "http://camera/"),
        (" https://camera:443/a ", "https://camera/a"),
        ("http://camera:443/a#part", "http://camera:443/a"),
        ("HTTP://u:p@camera:8080?x=1&y=&z", "http://camera:8080/?x=…&y=…&…"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
        ("http://[fe80::1%25eth0]:81/", "http://[fe80::1%25eth0]:81/"),
        ("http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/"),
        ("http://camera/a b\"<>ä?ü= {", "http://camera/a%20b%22%3C%3E%C3%A4?%C3%BC=…"),
        ("http://camera/a%20b", "http://camera/a%20b"),
        ("http://my_camera./", "http://my_camera./"),
        ("http://camera:/", "http://camera/"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
    }
    let target = parse("http://[fe80::1%25eth0]:81/a?b=c").unwrap();
    assert_eq!((target.host(), target.port(), target.path(), target.query()), ("fe80::1%eth0", 81, "/a", Some("b=c")));
    assert_eq!(target.origin().host_header(), "[fe80::1]:81");
    assert_eq!(target.with_path("/c d").unwrap().path_and_query(), "/c%20d");
}

#[test]
fn what_is_no_url_of_an_upstream_is_refused_without_repeating_it() {
    for (text, error) in [
        ("", TargetError::NoScheme),
        ("camera/stream", TargetError::NoScheme),
        ("camera:8080/x?y=http://", TargetError::NoScheme),
        ("rtsp://u:p@camera/", TargetError::Scheme("rtsp".into())),
        ("http://", TargetError::Host),
        ("http:///path", TargetError::Host),
        ("http://u:p@/", TargetError::Host),
        ("http://a b/", TargetError::Host),
        ("http://[::1/", TargetError::Host),
        ("http://[camera]/", TargetError::Host),
        ("http://[::1%25a b]/", TargetError::Host),
        ("http://kamerä/", TargetError::HostLetters),
        ("http://camera:0/", TargetError::Port),
        ("http://camera:65536/", TargetError::Port),
        ("http://camera:+80/", TargetError::Port),
        ("http://[::1]80/", TargetError::Port),
        ("http://u:pa/ss@camera/", TargetError::Port),
        ("http://u:p@ss?x@camera/", TargetError::Userinfo),
        ("http://u:p#x@camera/", TargetError::Userinfo),
        ("http://u:p%zz@camera/", TargetError::Userinfo),
        ("http://u:100%@camera/", TargetError::Userinfo),
        ("http://u:%ff@camera/", TargetError::Userinfo),
        ("http://u:%0d%0a@camera/", TargetError::Userinfo),
    ] {
        let found = parse(text).unwrap_err();
        assert_eq!(found, error, "{text}");
        let is_about_passwords = matches!(found, TargetError::Userinfo | TargetError::Port);
        assert_eq!(found.hint().is_some_and(|hint| hint.contains("--upstream-auth-file")), is_about_passwords);
    }
}

#[test]
fn user_and_password_are_decoded_once() {
    for (userinfo, user, password) in [
        ("user:p%40ss%3F", "user", "p@ss?"),
        ("us%3Aer:a:b", "us:er", "a:b"),
        ("user:p@ss", "user", "p@ss"),
        ("user:%2540", "user", "%40"),
        ("user", "user", ""),
        (":key", "", "key"),
        ("j%C3%B6rg:%E2%82%AC", "j\u{f6}rg", "\u{20ac}"),
    ] {
        let target = parse(&format!("http://{userinfo}@camera/")).unwrap();
        assert_eq!(target.credentials(), Credentials::new(user, password).as_ref(), "{userinfo}");
    }
    assert_eq!(parse("http://@camera/").unwrap().credentials(), None);
}

#[test]
fn a_redirect_is_resolved_as_rfc_3986_says() {
    let base = parse("https://u:p@camera:8443/b/c/d?q").unwrap();
    for (location, resolved) in [
        ("/x", "https://camera:8443/x"),
        ("x", "https://camera:8443/b/c/x"),
        ("x/", "https://camera:8443/b/c/x/"),
        (".", "https://camera:8443/b/c/"),
        ("..", "https://camera:8443/b/"),
        ("../../../x", "https://camera:8443/x"),
        ("./x/../y/.", "https://camera:8443/b/c/y/"),
        ("/a/./b/../../c/..", "https://camera:8443/"),
        ("#part", "https://camera:8443/b/c/d?…"),
        ("?k=v", "https://camera:8443/b/c/d?k=…"),
        ("x?k=../..", "https://camera:8443/b/c/x?k=…"),
        ("/x y/ä", "https://camera:8443/x%20y/%C3%A4"),
        ("//other/x", "https://other/x"),
        ("http://camera:8443/x", "http://camera:8443/x"),
        (" HTTPS://user:pass@camera:8443 ", "https://camera:8443/"),
        ("x:y", "its scheme is x, not http or https"),
        ("javascript:alert(1)", "its scheme is javascript, not http or https"),
        ("http:/x", "its scheme is http, not http or https"),
        ("//", "the URL has no host that can be looked up"),
    ] {
        let found = base.resolve(location);
        assert!(found.as_ref().is_ok_and(|target| target.credentials().is_none()) || found.is_err());
        assert_eq!(found.map_or_else(|error| error.to_string(), |target| target.to_string()), resolved, "{location}");
    }
}

/// What is hashed is what is sent.
#[test]
fn the_digest_covers_the_path_as_it_is_sent() {
    let target = parse("http://camera/a b?c={d}").unwrap();
    let covered = Covered { method: "GET", uri: target.path_and_query().as_str() };
    assert_eq!(covered.uri, "/a%20b?c=%7Bd%7D");
}

proptest! {
    #[test]
    fn whatever_is_taken_for_a_url_is_one_when_it_is_shown(
        rest in r"[a-z0-9.\-:@/?#%\[\]{}<> =&\u{e4}]{0,30}",
        location in r"[a-z:/?#.%@ \[\]]{0,20}",
    ) {
        if let Ok(target) = parse(&format!("http://{rest}")) {
            let shown = target.with_path(target.path()).unwrap().to_string();
            prop_assert_eq!(parse(&shown).unwrap().to_string(), shown);
            if let Ok(next) = target.resolve(&location) {
                prop_assert!(next.path().starts_with('/') && next.credentials().is_none());
            }
        }
    }
}
