//! Which file of a crate imports which. An item that a module hands on (`pub use child::Item`) is an import from the file that
//! defines it; a module that is named on the way to an item is none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::source::{Module, Names, read};

#[derive(Default)]
pub struct Graph {
    folder: PathBuf,
    modules: BTreeMap<Names, Module>,
    /// The file of each module that has one, from the crate's folder on.
    files: BTreeMap<Names, String>,
    /// What each file imports, with the names by which it does.
    pub imports: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// The other crates that each file names.
    pub crates: BTreeMap<String, BTreeSet<String>>,
}

/// Where a path leads.
enum Found {
    Module(Names),
    /// An item of this module.
    Item(Names),
    /// Another crate, or a name of the code's own.
    Other(String),
}

impl Graph {
    /// Reads a crate, whose root is lib.rs in this folder, or main.rs.
    pub fn read(folder: &Path) -> Self {
        let mut graph = Self { folder: folder.to_owned(), ..Self::default() };
        graph.read_folder(folder);
        let tests: Vec<Names> =
            graph.modules.iter().flat_map(|(at, module)| module.tests.iter().map(|name| child(at, name))).collect();
        let is_test = |at: &Names| tests.iter().any(|test| at.starts_with(test));
        graph.modules.retain(|at, _| !is_test(at));
        graph.files.retain(|at, _| !is_test(at));
        for at in graph.modules.keys() {
            let (imports, crates) = graph.imports_of(at);
            let file = graph.file(at);
            graph.crates.entry(file.clone()).or_default().extend(crates);
            let known = graph.imports.entry(file.clone()).or_default();
            for (other, name) in imports.into_iter().filter(|(other, _)| *other != file) {
                known.entry(other).or_default().insert(name);
            }
        }
        graph
    }

    fn read_folder(&mut self, folder: &Path) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                self.read_folder(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(&self.folder).unwrap();
                let mut at: Names = file.with_extension("").iter().map(|name| name.to_str().unwrap().to_owned()).collect();
                let is_root = at == ["lib"] || at == ["main"] && !self.folder.join("lib.rs").exists();
                if is_root || at.last().is_some_and(|name| name == "mod") {
                    at.pop();
                }
                read(&at, &fs::read_to_string(&path).unwrap(), &mut self.modules);
                self.files.insert(at, file.to_str().unwrap().to_owned());
            }
        }
    }

    /// The file of a module, which may be a block in it.
    fn file(&self, at: &[String]) -> String {
        (0..=at.len()).rev().find_map(|length| self.files.get(&at[..length])).unwrap().clone()
    }

    /// The files that a module imports from, each with a name, and the other crates that it names.
    fn imports_of(&self, at: &Names) -> (Vec<(String, String)>, Vec<String>) {
        let (mut files, mut crates) = (Vec::new(), Vec::new());
        let module = &self.modules[at];
        let is_used = |name: &String| module.paths.iter().any(|path| path[0] == *name);
        for (name, path) in &module.imports {
            match self.find(at, path) {
                // What is behind it counts, where the code names that.
                Found::Module(found) if !is_used(name) => files.push((self.file(&found), name.clone())),
                Found::Module(_) => {}
                Found::Item(found) => files.push((self.file(&found), path.last().unwrap().clone())),
                Found::Other(name) => crates.push(name),
            }
        }
        for path in &module.globs {
            match self.find(at, path) {
                Found::Module(found) | Found::Item(found) => files.push((self.file(&found), "*".to_owned())),
                Found::Other(name) => crates.push(name),
            }
        }
        for path in &module.paths {
            match self.find(at, path) {
                Found::Item(found) => files.push((self.file(&found), path[1..].join("::"))),
                Found::Other(name) => crates.push(name),
                Found::Module(_) => {}
            }
        }
        (files, crates)
    }

    fn find(&self, from: &[String], path: &[String]) -> Found {
        self.follow(from, path, &mut BTreeSet::new())
    }

    /// Follows a path from one module on, through what modules hand on; `seen` are the names that were followed already.
    fn follow(&self, from: &[String], path: &[String], seen: &mut BTreeSet<Names>) -> Found {
        let (mut at, mut rest) = (from.to_vec(), path);
        while let Some((name, behind)) = rest.split_first() {
            match name.as_str() {
                // The program beside the library names it by its own name.
                "crate" | "mxr" if rest.len() == path.len() && (name == "crate" || from == ["main"]) => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ if self.modules.contains_key(&child(&at, name)) => at.push(name.clone()),
                _ => return self.follow_item(&at, name, behind, rest.len() == path.len(), seen),
            }
            rest = behind;
        }
        Found::Module(at)
    }

    /// The same for what is no module below `at`; `is_first` where nothing in front of it tells where it is from.
    fn follow_item(&self, at: &[String], name: &str, behind: &[String], is_first: bool, seen: &mut BTreeSet<Names>) -> Found {
        let module = &self.modules[at];
        if let Some((_, import)) = module.imports.iter().find(|(import, _)| import == name)
            && seen.insert(child(at, name))
        {
            return match self.follow(at, &[import, behind].concat(), seen) {
                // Behind a type of another crate.
                Found::Other(_) if import.len() == 1 && import[0] == name => Found::Other(name.to_owned()),
                found => found,
            };
        }
        if !module.items.contains(name) && seen.insert(child(at, "*")) {
            for glob in &module.globs {
                if let Found::Module(found) = self.follow(at, glob, seen)
                    && self.modules[&found].items.contains(name)
                {
                    return Found::Item(found);
                }
            }
        }
        match is_first && !module.items.contains(name) {
            true => Found::Other(name.to_owned()),
            false => Found::Item(at.to_vec()),
        }
    }

    /// Rooms: folders with the file that they hang on, and files beside which there is no folder, each with its files.
    pub fn rooms(&self) -> BTreeMap<String, Vec<String>> {
        let mut rooms: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (at, file) in &self.files {
            let room = match at.as_slice() {
                [] => "lib".to_owned(),
                [name] => name.clone(),
                at if self.folder.join(at.join("/")).is_dir() => at.join("/"),
                at => at[..at.len() - 1].join("/"),
            };
            rooms.entry(room).or_default().push(file.clone());
        }
        rooms
    }

    /// What each room sees of the others.
    pub fn views(&self) -> BTreeMap<String, BTreeSet<String>> {
        let rooms = self.rooms();
        let room_of: BTreeMap<&String, &String> =
            rooms.iter().flat_map(|(room, files)| files.iter().map(move |file| (file, room))).collect();
        let view = |(room, files): (&String, &Vec<String>)| {
            let imports = files.iter().flat_map(|file| self.imports[file].keys()).map(|file| room_of[file].clone());
            (room.clone(), imports.filter(|other| other != room).collect())
        };
        rooms.iter().map(view).collect()
    }

    /// Each knot of files that import one another, with the imports that tie it.
    pub fn circles(&self) -> Vec<String> {
        let edges = self.imports.iter().map(|(file, imports)| (file.clone(), imports.keys().cloned().collect())).collect();
        let tell = |knot: BTreeSet<String>| {
            let mut text = format!("a circle of {} files:", knot.len());
            for file in &knot {
                for (other, names) in self.imports[file].iter().filter(|(other, _)| knot.contains(*other)) {
                    let mark = if self.imports[other].contains_key(file) { "<->" } else { "->" };
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    text += &format!("\n  {file} {mark} {other} ({})", names.join(", "));
                }
            }
            text
        };
        knots(&edges).into_iter().filter(|knot| knot.len() > 1).map(tell).collect()
    }
}

fn child(at: &[String], name: &str) -> Names {
    [at, &[name.to_owned()]].concat()
}

/// What can be reached from one another belongs together (the strongly connected components), the lowest first.
pub fn knots(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut reached, mut next) = (BTreeSet::from([from.clone()]), vec![from]);
        while let Some(at) = next.pop() {
            next.extend(edges[at].iter().filter(|other| reached.insert((*other).clone())));
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|node| (node, reach(node))).collect();
    let knot = |node: &String| reached[node].iter().filter(|other| reached[other].contains(node)).cloned().collect();
    let knots: BTreeSet<BTreeSet<String>> = edges.keys().map(knot).collect();
    let mut knots: Vec<_> = knots.into_iter().collect();
    knots.sort_by_key(|knot| reached[knot.first().unwrap()].len());
    knots
}

/// The lines of a file that are no tests: everything in front of a block of them.
pub fn lines(file: &Path) -> usize {
    let Ok(text) = fs::read_to_string(file) else { return 0 };
    let is_test =
        |at: usize| text[at..].strip_prefix("#[cfg(test)]\nmod ").is_some_and(|rest| rest.lines().next().unwrap().ends_with('{'));
    let end = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| is_test(*at));
    text[..end.unwrap_or(text.len())].trim_end().lines().count()
}

/// The files in a folder that are no code, as what a page is made of.
pub fn assets(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut assets: Vec<_> =
        entries.filter(|path| path.is_file() && path.extension().is_none_or(|extension| extension != "rs")).collect();
    assets.sort();
    assets
}
