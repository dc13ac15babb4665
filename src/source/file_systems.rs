//! What the kind of a file system says: whether it tells of changes, and whether other machines may write to it. It looks at no
//! file's content.

use std::path::Path;

/// The name of the file system, where changes raise no event, or those by other machines raise none on this one (statfs(2) lists the
/// numbers).
#[cfg(target_os = "linux")]
pub(crate) fn silent_file_system(path: &Path) -> Option<&'static str> {
    let number = number(rustix::fs::statfs(path).ok()?);
    let names = [(0x794c_7630, "overlay"), (0x9fa0, "proc"), (0x6265_6572, "sysfs"), (0x6367_7270, "cgroup")];
    names.iter().chain(&NETWORKS).find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether other machines may write to the file.
#[cfg(target_os = "linux")]
pub(in crate::source) fn is_on_a_network(file: &std::fs::File) -> bool {
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
pub(crate) fn silent_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// No other system tells of writers anyway.
#[cfg(not(target_os = "linux"))]
pub(in crate::source) fn is_on_a_network(_: &std::fs::File) -> bool {
    true
}
