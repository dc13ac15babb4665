//! Where to listen for a path: the directories whose entries decide what it means, and whether their file systems tell.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

/// Links that are followed on the way to a file, as the kernel has it.
const LINKS: usize = 40;

/// The directories in which a change may change what `path` shows: the one that holds the file, and each that holds a
/// link on the way to it (`ln -sfn` swaps these; Kubernetes swaps `..data`, a link to a directory).
pub(super) fn directories(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut at = PathBuf::new();
    let mut rest: VecDeque<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let full = at.join(&name);
        match std::fs::read_link(&full) {
            Ok(target) if links < LINKS => {
                links += 1;
                found.push(at.clone());
                rest = names(&target).into_iter().chain(rest).collect();
                if target.is_absolute() {
                    at = PathBuf::new();
                }
            }
            _ => {
                if rest.is_empty() {
                    found.push(if full.is_dir() { full.clone() } else { at.clone() });
                }
                at = full;
            }
        }
    }
    found.retain(|directory| directory.is_dir());
    found.dedup();
    found
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| (component != Component::CurDir).then(|| component.as_os_str().to_owned());
    path.components().filter_map(name).collect()
}

/// The name of the file system, where changes made elsewhere raise no event here (statfs(2) lists the numbers).
#[cfg(target_os = "linux")]
pub(super) fn silent_file_system(path: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(path).ok()?.f_type as u64 & 0xffff_ffff;
    Some(match kind {
        0x6969 => "nfs",
        0x517b => "smb",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x0102_1997 => "9p",
        0x6573_5546 => "fuse",
        0x794c_7630 => "overlay",
        0x00c3_6400 => "ceph",
        0x5346_414f => "afs",
        0x786f_4256 => "vboxsf",
        _ => return None,
    })
}

/// Elsewhere nobody tells; the look every second finds what no event told.
#[cfg(not(target_os = "linux"))]
pub(super) fn silent_file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

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
        assert_eq!(directories(&root), [root]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert!(!directories(&folder.path().join("a")).is_empty());
    }
}
