//! The import rule: who may know whom inside the crate. It is read from the paths in the sources, so that a room which
//! begins to know too much fails here, with its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Each room of the crate and the rooms that its code names, its tests left out.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let mut imports = BTreeMap::new();
    read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut imports);
    assert!(imports.len() > 10, "found the rooms {:?}", imports.keys());
    imports
}

/// `at` are the modules on the way from the crate to this folder, the room first.
fn read_folder(folder: &Path, at: &[String], imports: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = if stem == "mod" { at.to_vec() } else { [at, std::slice::from_ref(&stem)].concat() };
        if path.is_dir() {
            read_folder(&path, &module, imports);
        } else if path.extension().is_some_and(|extension| extension == "rs") && stem != "tests" {
            let code = fs::read_to_string(&path).unwrap().replace(&"super::".repeat(module.len()), "crate::");
            imports.entry(module[0].clone()).or_default().extend(rooms_named_in(&code));
        }
    }
}

/// The first names behind `crate::`, be it a path or a braced list.
fn rooms_named_in(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let mut rooms = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(first_names(list)),
            None => rooms.extend(name(rest)),
        }
    }
    rooms
}

/// `a::{b, c}, d}` names `a` and `d`.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut is_first, mut names) = (0, true, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_first = true,
            letter if is_first && !letter.is_whitespace() => {
                names.extend(name(&list[at..]));
                is_first = false;
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// What a room names of the crate beside itself.
#[track_caller]
fn imports_of(room: &str) -> Vec<String> {
    let mut named = imports().remove(room).unwrap_or_else(|| panic!("there is no src/{room}.rs and no src/{room}/"));
    named.remove(room);
    named.into_iter().collect()
}

#[track_caller]
fn expect_none_of(room: &str, forbidden: &[&str]) {
    let imports = imports_of(room);
    assert!(
        !imports.iter().any(|name| forbidden.contains(&name.as_str())),
        "{room} imports {imports:?}, of which it must not know {forbidden:?}"
    );
}

#[test]
fn paths_and_lists_are_read() {
    let source = "use crate::{\n    feed::{Feed, Kind},\n    wire,\n    part::Part,\n};\nfn f() -> crate::error::Result<()> {}\n\
                  // crate::http\n#[cfg(test)]\nmod tests { use crate::source::Source; }";
    assert_eq!(rooms_named_in(source).into_iter().collect::<Vec<_>>(), ["error", "feed", "part", "wire"]);
}

#[test]
fn the_command_line_imports_nothing() {
    assert!(imports_of("cli").is_empty(), "cli imports {:?}", imports_of("cli"));
}

#[test]
fn wire_knows_parts_alone() {
    assert_eq!(imports_of("wire"), ["part"]);
}

#[test]
fn a_feed_knows_neither_sources_nor_http() {
    expect_none_of("feed", &["source", "http"]);
}

#[test]
fn http_never_imports_sources() {
    expect_none_of("http", &["source"]);
}

#[test]
fn sources_never_import_http() {
    expect_none_of("source", &["http"]);
}

#[test]
fn only_the_library_and_the_configuration_see_both() {
    let sees_both = |names: &BTreeSet<String>| names.contains("http") && names.contains("source");
    let rooms: Vec<_> = imports().into_iter().filter(|(_, names)| sees_both(names)).map(|(room, _)| room).collect();
    assert!(rooms.iter().all(|room| ["lib", "config"].contains(&room.as_str())), "{rooms:?} see both sources and http");
}
