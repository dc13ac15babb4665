//! Where a path leads, and which directories and links decide that; whether the file system there tells of changes. It
//! keeps nothing.

use std::{
    collections::{HashMap, VecDeque},
    ffi::OsString,
    fs::Metadata,
    path::{Component, Path, PathBuf},
};

use crate::file::Signature;

/// Links that are followed on the way to a file, as the kernel has it.
const LINKS: usize = 40;

/// Where a path leads just now. The directories of its paths are no links, as in the paths of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResolvedPath {
    /// The entry that has the path's own name.
    pub(super) entry: PathBuf,
    /// The file or directory that it leads to, which may not exist.
    pub(super) target: PathBuf,
    pub(super) is_directory: bool,
    /// The links on the way (`ln -sfn` swaps these; Kubernetes swaps `..data`, a link to a directory).
    links: Vec<PathBuf>,
}

/// Where directories lead, found once for all files in them.
#[derive(Debug, Default)]
pub(super) struct ResolvedDirectories(HashMap<PathBuf, ResolvedPath>);

impl ResolvedPath {
    /// Resolves an absolute path.
    pub(super) fn of(path: &Path) -> Self {
        let (mut entry, mut links) = (None, Vec::new());
        let mut at = PathBuf::new();
        let mut rest: VecDeque<OsString> = components(path);
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let full = at.join(&name);
            if rest.is_empty() && entry.is_none() {
                entry = Some(full.clone());
            }
            match std::fs::read_link(&full) {
                Ok(target) if links.len() < LINKS => {
                    links.push(full);
                    rest = components(&target).into_iter().chain(rest).collect();
                    if target.is_absolute() {
                        at = PathBuf::new();
                    }
                }
                _ => at = full,
            }
        }
        Self { entry: entry.unwrap_or_else(|| at.clone()), is_directory: at.is_dir(), target: at, links }
    }

    /// Resolves an absolute path whose directory was resolved already, by one system call where it is no link. Returns the state of a
    /// file as well.
    pub(super) fn within(directories: &mut ResolvedDirectories, path: &Path) -> (Self, Option<Signature>) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return (Self::of(path), None) };
        if !directories.0.contains_key(parent) {
            directories.0.insert(parent.to_owned(), Self::of(parent));
        }
        let Some(directory) = directories.0.get(parent).filter(|directory| directory.is_directory) else {
            return (Self::of(path), None);
        };
        let full = directory.target.join(name);
        let found = full.symlink_metadata().ok();
        if found.as_ref().is_some_and(Metadata::is_symlink) {
            return (Self::of(path), None);
        }
        let is_directory = found.as_ref().is_some_and(Metadata::is_dir);
        let signature = found.filter(Metadata::is_file).map(|found| Signature::of(&found));
        (Self { entry: full.clone(), target: full, is_directory, links: directory.links.clone() }, signature)
    }

    /// The directories whose entries decide what the path shows: the one that holds the file, and each that holds a link.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        let last = if self.is_directory { Some(self.target.as_path()) } else { self.target.parent() };
        self.links.iter().filter_map(|link| link.parent()).chain(last)
    }

    /// Every entry that decides where it leads, directories too.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Path> {
        [&self.entry, &self.target].into_iter().chain(&self.links).flat_map(|path| path.ancestors())
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| (component != Component::CurDir).then(|| component.as_os_str().to_owned());
    path.components().filter_map(name).collect()
}

/// The name of the file system, where changes raise no event, or those by other machines raise none on this one (statfs(2) lists the
/// numbers).
#[cfg(target_os = "linux")]
pub(super) fn silent_file_system(path: &Path) -> Option<&'static str> {
    let number = number(rustix::fs::statfs(path).ok()?);
    let names = [(0x794c_7630, "overlay"), (0x9fa0, "proc"), (0x6265_6572, "sysfs"), (0x6367_7270, "cgroup")];
    names.iter().chain(&NETWORKS).find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether other machines may write to the file.
#[cfg(target_os = "linux")]
pub(super) fn is_on_a_network(file: &std::fs::File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|found| NETWORKS.iter().any(|(known, _)| *known == number(found)))
}

#[cfg(target_os = "linux")]
const NETWORKS: [(u64, &str); 9] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x786f_4256, "vboxsf"),
];

#[cfg(target_os = "linux")]
fn number(found: rustix::fs::StatFs) -> u64 {
    found.f_type as u64 & 0xffff_ffff
}

/// No other system tells; the look every second finds what no event told.
#[cfg(not(target_os = "linux"))]
pub(super) fn silent_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// No other system tells of writers anyway.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_on_a_network(_: &std::fs::File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn directories(path: &Path) -> Vec<PathBuf> {
        let mut directories: Vec<_> = ResolvedPath::of(path).directories().map(Path::to_owned).collect();
        directories.dedup();
        directories
    }

    #[test]
    fn every_directory_with_a_link_on_the_way_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("..2026")).unwrap();
        std::fs::write(root.join("..2026/plot.png"), "x").unwrap();
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/plot.png", root.join("plot.png")).unwrap();
        assert_eq!(directories(&root.join("plot.png")), [root.clone(), root.join("..2026")]);
        assert_eq!(directories(&root.join("missing.png")), std::slice::from_ref(&root));
        assert_eq!(directories(&root), std::slice::from_ref(&root));
        assert_eq!(directories(&root.join("..2026/..")), [root]);
    }

    #[test]
    fn a_path_has_a_name_of_its_own_and_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("run1")).unwrap();
        symlink("run1", root.join("latest")).unwrap();
        symlink("b.txt", root.join("run1/a.txt")).unwrap();
        let resolved = ResolvedPath::of(&root.join("latest/a.txt"));
        assert_eq!((resolved.entry.as_path(), resolved.target.as_path()), (&*root.join("run1/a.txt"), &*root.join("run1/b.txt")));
        for entry in ["latest", "run1", "run1/a.txt", "run1/b.txt"] {
            assert!(resolved.entries().any(|path| path == root.join(entry)), "{entry}");
        }
    }

    #[test]
    fn within_a_resolved_directory_a_path_leads_where_it_leads_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("run/inner")).unwrap();
        std::fs::write(root.join("run/a.txt"), "x").unwrap();
        symlink("run", root.join("latest")).unwrap();
        symlink("run/a.txt", root.join("link")).unwrap();
        symlink("nowhere", root.join("lost")).unwrap();
        let mut directories = ResolvedDirectories::default();
        for name in
            ["latest/a.txt", "run/a.txt", "link", "latest", "latest/inner", "latest/missing", "lost", "none/a.txt", "run/.."]
        {
            let path = root.join(name);
            assert_eq!(ResolvedPath::within(&mut directories, &path).0, ResolvedPath::of(&path), "{name}");
        }
    }

    #[test]
    fn a_circle_of_links_ends() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert!(!directories(&folder.path().join("a")).is_empty());
    }
}
