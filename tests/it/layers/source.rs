//! What one file of Rust says about others: its `use` trees, and the paths in its code. Production code alone: what stands behind
//! `#[cfg(test)]` is passed over. It knows tokens, and nothing of where the paths lead.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The names on the way to a module or an item, as in `crate::feed::Feed`; empty for the crate's root.
pub type Names = Vec<String>;

/// One module, be it a file or a block.
#[derive(Default)]
pub struct Module {
    /// Each name that a `use` brings in and what it stands for, which may depend on the platform.
    pub imports: Vec<(String, Names)>,
    /// What is brought in by `*`.
    pub globs: Vec<Names>,
    /// The paths in the code, of two names or more.
    pub paths: BTreeSet<Names>,
    /// What it defines itself.
    pub items: BTreeSet<String>,
    /// Modules that are there for tests alone, in files of their own.
    pub tests: BTreeSet<String>,
}

/// Reads a file, which is the module `at`, and the modules that are blocks in it.
pub fn read(at: &[String], code: &str, modules: &mut BTreeMap<Names, Module>) {
    let tokens: TokenStream = code.parse().unwrap_or_else(|error| panic!("{}: {error}", at.join("::")));
    modules.entry(at.to_vec()).or_default();
    scan(at, &tokens.into_iter().collect::<Vec<_>>(), modules);
}

fn scan(at: &[String], tokens: &[TokenTree], modules: &mut BTreeMap<Names, Module>) {
    let mut rest = tokens;
    while let Some((token, behind)) = rest.split_first() {
        let module = modules.get_mut(at).unwrap();
        rest = match (word(token).as_str(), behind) {
            ("#", [attribute, behind @ ..]) if is_for_tests(attribute) => {
                let (item, behind) = behind.split_at(end_of_item(behind));
                if let [.., name, end] = item
                    && is(end, ";")
                    && item.iter().any(|token| is(token, "mod"))
                {
                    module.tests.insert(word(name));
                }
                behind
            }
            ("use", [next, ..]) if !is(next, "<") => {
                let end = behind.iter().position(|token| is(token, ";")).unwrap();
                read_tree(&[], &behind[..end], module);
                &behind[end..]
            }
            ("mod", [name, TokenTree::Group(block), behind @ ..]) => {
                let inner = [at, &[word(name)]].concat();
                modules.entry(inner.clone()).or_default();
                scan(&inner, &block.stream().into_iter().collect::<Vec<_>>(), modules);
                behind
            }
            // `pub(in crate::feed)` uses nothing.
            ("pub", [TokenTree::Group(scope), behind @ ..]) if scope.delimiter() == Delimiter::Parenthesis => behind,
            ("fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static", [TokenTree::Ident(name), ..]) => {
                module.items.insert(name.to_string());
                behind
            }
            _ => match (token, path(rest)) {
                (TokenTree::Group(group), _) => {
                    scan(at, &group.stream().into_iter().collect::<Vec<_>>(), modules);
                    behind
                }
                (_, Some((names, behind))) => {
                    module.paths.insert(names);
                    behind
                }
                _ => behind,
            },
        };
    }
}

/// `a::{b, c::{self, d as e}, f::*}` behind what stands in front of it.
fn read_tree(front: &[String], tokens: &[TokenTree], module: &mut Module) {
    let mut names = front.to_vec();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) if name == "as" => {
                module.imports.push((word(&tokens[index + 1]), names));
                return;
            }
            // `{self}` is what stands in front of it.
            TokenTree::Ident(name) if name == "self" && !names.is_empty() => {}
            TokenTree::Ident(name) => names.push(name.to_string()),
            TokenTree::Group(list) => {
                let list: Vec<_> = list.stream().into_iter().collect();
                let trees = list.split(|token| is(token, ",")).filter(|tree| !tree.is_empty());
                trees.for_each(|tree| read_tree(&names, tree, module));
                return;
            }
            token if is(token, "*") => return module.globs.push(names),
            _ => {}
        }
    }
    if let Some(name) = names.last() {
        module.imports.push((name.clone(), names));
    }
}

/// A path of two names or more at the beginning of these tokens, and what is behind it.
fn path(tokens: &[TokenTree]) -> Option<(Names, &[TokenTree])> {
    let (TokenTree::Ident(first), mut rest) = tokens.split_first()? else { return None };
    let mut names = vec![first.to_string()];
    while let [a, b, TokenTree::Ident(name), behind @ ..] = rest
        && is(a, ":")
        && is(b, ":")
    {
        names.push(name.to_string());
        rest = behind;
    }
    (names.len() > 1).then_some((names, rest))
}

/// Where the item ends that begins here, with what stands in front of it: behind a block or a semicolon.
fn end_of_item(tokens: &[TokenTree]) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is(token, ";"),
    };
    tokens.iter().position(is_end).map_or(tokens.len(), |end| end + 1)
}

fn is_for_tests(attribute: &TokenTree) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text == "[cfg(test)]" || text.starts_with("[cfg(all(test,")
}

fn is(token: &TokenTree, text: &str) -> bool {
    !matches!(token, TokenTree::Group(_)) && word(token) == text
}

/// The text of a token; none for a group.
fn word(token: &TokenTree) -> String {
    if matches!(token, TokenTree::Group(_)) { String::new() } else { token.to_string() }
}
