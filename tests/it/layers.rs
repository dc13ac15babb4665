//! The import rule: which file may see which, read from every path in the sources. `docs/architecture.md` has the drawing that
//! is made here.

mod graph;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::LazyLock,
};

use graph::{Graph, assets, knots, lines};

use crate::support::root;

/// Which room may see which: no more than here, and no less. A test that fails prints the table as it ought to be.
const ALLOWED: &[(&str, &[&str])] = &[
    ("main", &["run", "config", "cli", "process"]),
    ("run", &["lib", "config", "doctor", "http", "terminal", "conn", "error", "cli", "panic", "process", "systemd"]),
    ("lib", &["config", "http", "terminal", "sink", "source", "hooks", "feed", "recording", "conn", "stats", "auth", "error"]),
    (
        "config",
        &[
            "source/relay",
            "doctor",
            "http",
            "source/exec",
            "source/hub",
            "terminal",
            "sink",
            "source/playback",
            "source/replay",
            "source/watch",
            "mqtt",
            "source",
            "source/framing",
            "source/screen",
            "hooks",
            "client",
            "feed",
            "recording",
            "conn",
            "wire",
            "source/framing/split",
            "auth",
            "error",
            "cli",
            "file",
            "format",
            "process",
        ],
    ),
    (
        "source/relay",
        &[
            "source/broker",
            "source/incoming",
            "mqtt",
            "source",
            "loss",
            "client",
            "feed",
            "source/framing/split",
            "error",
            "wire/decode",
            "escape",
            "format",
            "panic",
        ],
    ),
    (
        "doctor",
        &[
            "source/watch",
            "source",
            "client",
            "recording",
            "doctor/kinds",
            "error",
            "source/fs_events",
            "wire/decode",
            "escape",
            "file",
            "format",
            "lease",
        ],
    ),
    (
        "http",
        &[
            "sink",
            "fanout",
            "feed",
            "recording",
            "conn",
            "wire",
            "stats",
            "auth",
            "part",
            "escape",
            "format",
            "http/page",
            "intake",
            "panic",
            "sync",
        ],
    ),
    ("source/broker", &["source/incoming", "mqtt", "source", "loss", "feed", "source/framing/split", "escape", "format"]),
    (
        "source/exec",
        &[
            "source/watch",
            "source",
            "source/framing",
            "source/screen",
            "feed",
            "wire",
            "source/framing/split",
            "error",
            "part",
            "back_off",
            "file",
            "format",
            "process",
        ],
    ),
    (
        "source/hub",
        &[
            "source/incoming",
            "source",
            "hooks",
            "feed",
            "wire",
            "source/framing/split",
            "error",
            "wire/decode",
            "format",
            "intake",
            "sync",
        ],
    ),
    ("terminal", &["sink", "feed", "recording", "stats", "escape"]),
    ("sink", &["mqtt", "loss", "client", "feed", "recording", "wire", "error", "escape", "format", "panic", "sync"]),
    ("source/incoming", &["source", "feed", "source/framing/split", "part", "wire/decode", "format"]),
    ("source/playback", &["source", "feed", "recording", "source/framing/split", "error", "part", "wire/decode", "file", "format"]),
    ("source/replay", &["source", "feed", "error", "part", "source/fs_events", "file", "format", "lease", "sync"]),
    (
        "source/watch",
        &[
            "source",
            "source/framing",
            "feed",
            "recording",
            "source/watch/settling",
            "error",
            "part",
            "source/fs_events",
            "source/watch/tail",
            "file",
            "format",
            "panic",
        ],
    ),
    ("mqtt", &["loss", "client", "error", "sync"]),
    (
        "source",
        &[
            "source/framing",
            "source/screen",
            "hooks",
            "feed",
            "error",
            "part",
            "source/fs_events",
            "format",
            "lease",
            "panic",
            "process",
            "sync",
        ],
    ),
    ("source/framing", &["source", "feed", "source/framing/split", "part", "format"]),
    ("source/screen", &["source", "source/framing", "feed", "part", "format", "panic", "sync"]),
    ("fanout", &["feed", "conn", "wire", "stats", "format", "panic", "sync"]),
    ("hooks", &["feed", "panic", "process"]),
    ("loss", &["client", "back_off"]),
    ("client", &["conn", "error", "escape", "sync"]),
    ("feed", &["wire", "stats", "part", "sync"]),
    ("recording", &["wire", "part", "wire/decode", "file", "format", "sync"]),
    ("conn", &["stats", "error", "file", "sync"]),
    ("wire", &["stats", "part", "wire/decode", "format"]),
    ("doctor/kinds", &["wire/decode"]),
    ("source/framing/split", &["wire/decode", "format"]),
    ("source/watch/settling", &["source/fs_events", "file", "format", "lease"]),
    ("stats", &["part", "net", "sync"]),
    ("auth", &["net", "sync"]),
    ("error", &["escape"]),
    ("part", &["format"]),
    ("source/fs_events", &["sync"]),
    ("source/watch/tail", &["file"]),
    ("wire/decode", &["format"]),
    ("back_off", &[]),
    ("cli", &[]),
    ("escape", &[]),
    ("file", &[]),
    ("format", &[]),
    ("http/page", &[]),
    ("intake", &[]),
    ("lease", &[]),
    ("net", &[]),
    ("panic", &[]),
    ("process", &[]),
    ("sync", &[]),
    ("systemd", &[]),
];

/// What must not be seen, whatever the table says: by a room and those in it, of rooms or of other crates.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("http", &["source"]),
    ("source", &["http"]),
    ("client", &["source", "http", "feed", "fanout"]),
    ("feed", &["http", "hyper", "hyper_util", "http_body_util"]),
    ("fanout", &["hyper", "hyper_util", "http_body_util"]),
];

type Rooms = BTreeMap<String, BTreeSet<String>>;

/// The crate as it is.
static CRATE: LazyLock<Graph> = LazyLock::new(|| Graph::read(&root().join("src")));

fn is_in(room: &str, name: &str) -> bool {
    name.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
}

/// Every file that imports what its room must not see.
fn forbidden(graph: &Graph) -> Vec<String> {
    let mut complaints = Vec::new();
    for (room, forbidden) in FORBIDDEN {
        for (file, imports) in graph.imports.iter().filter(|(file, _)| is_in(room, file)) {
            let names = imports.keys().chain(&graph.crates[file]);
            let seen = names.filter(|name| forbidden.iter().any(|forbidden| is_in(forbidden, name)));
            complaints.extend(seen.map(|name| format!("{file} imports {name}, of which {room} must not know")));
        }
    }
    complaints
}

/// Rooms in the order of the drawing, each with its floor: one above all that it sees.
fn floors(rooms: &Rooms) -> Vec<(usize, String)> {
    let mut floors: BTreeMap<String, usize> = BTreeMap::new();
    for knot in knots(rooms) {
        let below = knot.iter().flat_map(|room| &rooms[room]).filter_map(|seen| floors.get(seen)).max();
        let floor = below.map_or(0, |below| below + 1);
        floors.extend(knot.into_iter().map(|room| (room, floor)));
    }
    let mut floors: Vec<_> = floors.into_iter().map(|(room, floor)| (floor, room)).collect();
    floors.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    floors
}

/// The table as Rust, to paste.
fn table(rooms: &Rooms) -> String {
    let order = floors(rooms);
    let row = |(_, room): &(usize, String)| {
        let seen: Vec<_> =
            order.iter().filter(|(_, other)| rooms[room].contains(other)).map(|(_, other)| format!("{other:?}")).collect();
        format!("    ({room:?}, &[{}]),\n", seen.join(", "))
    };
    format!("const ALLOWED: &[(&str, &[&str])] = &[\n{}];\n", order.iter().map(row).collect::<String>())
}

/// What differs from a table: what is seen and not in it, and what is in it and not seen.
fn differences(rooms: &Rooms, allowed: &[(&str, &[&str])]) -> Vec<String> {
    let pairs = |room: &str, seen: Vec<&str>| {
        [vec![room.to_owned()], seen.iter().map(|seen| format!("{room} -> {seen}")).collect()].concat()
    };
    let is: BTreeSet<String> =
        rooms.iter().flat_map(|(room, seen)| pairs(room, seen.iter().map(String::as_str).collect())).collect();
    let ought: BTreeSet<String> = allowed.iter().flat_map(|(room, seen)| pairs(room, seen.to_vec())).collect();
    let more = is.difference(&ought).map(|pair| format!("{pair}: is there, and not in the table"));
    more.chain(ought.difference(&is).map(|pair| format!("{pair}: is in the table, and not there"))).collect()
}

/// The rooms as a table for people: what is in each, how long it is, and what it imports.
pub fn drawing() -> String {
    let graph = &*CRATE;
    let (rooms, views) = (graph.rooms(), graph.views());
    let mut text = "| floor | room | files | lines | imports |\n|---|---|---|---|---|\n".to_owned();
    let (mut all_files, mut all_lines) = (0, 0);
    for (floor, room) in floors(&views) {
        let folder = root().join("src").join(&room);
        let code = rooms[&room].iter().map(|file| root().join("src").join(file));
        let paths: Vec<_> = code.chain(assets(&folder)).collect();
        let lines: usize = paths.iter().map(|path| lines(path)).sum();
        let mut names: Vec<_> =
            paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().trim_end_matches(".rs")).collect();
        names.sort_by_key(|name| (*name != "mod", name.to_owned()));
        let seen: Vec<_> = views[&room].iter().map(String::as_str).collect();
        text += &format!("| {floor} | `{room}` | {} | {lines} | {} |\n", names.join(" "), seen.join(", "));
        (all_files, all_lines) = (all_files + paths.len(), all_lines + lines);
    }
    text + &format!("\n{all_files} files in {} rooms, {all_lines} lines without tests.\n", rooms.len())
}

#[test]
fn no_file_imports_in_a_circle() {
    let circles = CRATE.circles();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_file_of_a_bench_imports_in_a_circle() {
    let circles = Graph::read(&root().join("benches/fanout")).circles();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// Folders of the first level, with all that is in them.
#[test]
fn no_two_folders_see_each_other() {
    let top = |room: &String| room.split('/').next().unwrap().to_owned();
    let mut folders = Rooms::new();
    for (room, seen) in CRATE.views() {
        folders.entry(top(&room)).or_default().extend(seen.iter().map(top).filter(|other| *other != top(&room)));
    }
    let knots: Vec<_> = knots(&folders).into_iter().filter(|knot| knot.len() > 1).collect();
    assert!(knots.is_empty(), "{knots:?}");
}

#[test]
fn each_room_sees_what_the_table_says() {
    let rooms = CRATE.views();
    let differences = differences(&rooms, ALLOWED);
    assert!(differences.is_empty(), "{}\n\nThe table as it ought to be:\n\n{}", differences.join("\n"), table(&rooms));
}

#[test]
fn http_and_sources_do_not_know_each_other_nor_a_feed_either() {
    let rooms = CRATE.rooms();
    assert!(["feed", "http", "source"].iter().all(|room| rooms.contains_key(*room)), "they have other names now");
    let forbidden = forbidden(&CRATE);
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
}

/// One name, one thing: wherever a type's name stands, it tells which type it is.
#[test]
fn no_type_has_the_name_of_another() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in CRATE.rooms().into_values().flatten() {
        let code = fs::read_to_string(root().join("src").join(&file)).unwrap();
        let items = code
            .lines()
            .map(|line| ["pub(crate) ", "pub(super) ", "pub "].iter().fold(line, |line, word| line.trim_start_matches(word)));
        let names =
            items.filter_map(|item| item.split_once(' ').filter(|(word, _)| ["struct", "enum", "trait", "type"].contains(word)));
        for (_, rest) in names {
            let name: String = rest.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            places.entry(name).or_default().push(file.clone());
        }
    }
    assert!(places.len() > 100, "types are found");
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "types of one name in several files; give the new one a name of its own: {places:#?}");
}

/// Everything that is wrong with a crate.
fn complaints(graph: &Graph) -> BTreeSet<String> {
    [forbidden(graph), graph.circles(), differences(&graph.views(), ALLOWED)].concat().into_iter().collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let copied = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &copied),
            false => _ = fs::copy(&path, copied).unwrap(),
        }
    }
}

/// What is wrong with a copy of the crate that has this at the end of these files, and not with the crate itself.
fn complaints_about(planted: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("src"), folder.path());
    for (file, code) in planted {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{text}\n{code}\n")).unwrap();
    }
    let complaints_now = complaints(&Graph::read(folder.path()));
    complaints_now.difference(&complaints(&CRATE)).map(|complaint| format!("{complaint}\n")).collect()
}

#[test]
fn a_forbidden_import_is_seen_wherever_it_stands() {
    let complaints = complaints_about(&[
        ("http/mod.rs", "#[cfg(test)]\nmod tests;\nuse crate::source::Planted;"),
        ("http/braces.rs", "use crate::{part::{Media, Part}, source::{self as planted, Planted}};"),
        ("http/code.rs", "fn planted() -> crate::source::Planted {}"),
        ("http/macro.rs", "fn planted() { debug!(\"{}\", super::super::source::planted()) }"),
        ("http/block.rs", "mod block { fn planted(from: &[super::super::super::source::Planted]) {} }"),
        ("http/name.rs", "use crate as planted;\nuse planted::source::Planted;"),
        ("http/star.rs", "pub(crate) use crate::source::*;"),
        ("http/deep/planted/mod.rs", "use super::super::super::source::{Planted};"),
    ]);
    for file in ["mod", "braces", "code", "macro", "block", "name", "star", "deep/planted/mod"] {
        let complaint = format!("http/{file}.rs imports source/mod.rs, of which http must not know");
        assert!(complaints.contains(&complaint), "{complaint}: {complaints}");
    }
    let complaints = complaints_about(&[
        ("source/planted/mod.rs", "use super::super::http::Planted;"),
        ("feed/mod.rs", "fn planted(request: hyper::Request<()>) {}"),
    ]);
    assert!(complaints.contains("source/planted/mod.rs imports http/mod.rs, of which source must not know"), "{complaints}");
    assert!(complaints.contains("feed/mod.rs imports hyper, of which feed must not know"), "{complaints}");
}

#[test]
fn what_a_module_hands_on_is_an_import_from_where_it_is() {
    let complaints = complaints_about(&[
        ("planted/mod.rs", "mod inner;\npub use inner::Inner;\npub struct Outer;"),
        ("planted/inner.rs", "pub struct Inner;"),
        ("part.rs", "use crate::planted::Inner;"),
        ("wound/mod.rs", "mod inner;\npub use inner::Inner;\npub struct Outer;"),
        ("wound/inner.rs", "use super::Outer;\npub struct Inner;"),
    ]);
    assert!(complaints.contains("part -> planted: is there, and not in the table"), "{complaints}");
    assert!(complaints.contains("wound/inner.rs <-> wound/mod.rs (Outer)"), "{complaints}");
    assert!(!complaints.contains("planted/mod.rs"), "{complaints}");
}

#[test]
fn the_table_is_neither_too_short_nor_too_long() {
    let complaints = complaints_about(&[("part.rs", "use crate::cli::Planted;")]);
    assert!(complaints.contains("part -> cli: is there, and not in the table"), "{complaints}");
    let complaints = differences(&Rooms::from([("a".to_owned(), BTreeSet::new())]), &[("a", &["b"]), ("c", &[])]);
    assert_eq!(complaints, ["a -> b: is in the table, and not there", "c: is in the table, and not there"]);
}

#[test]
fn what_tests_import_is_free() {
    let complaints = complaints_about(&[
        (
            "http/mod.rs",
            "#[cfg(test)]\nmod planted {\n    use crate::source::Planted;\n}\n#[cfg(test)]\nuse crate::source::Planted;",
        ),
        ("part.rs", "#[cfg(test)]\nmod planted;"),
        ("part/planted.rs", "use crate::source::Planted;"),
    ]);
    assert_eq!(complaints, "");
}
