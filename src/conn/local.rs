//! The sockets of this machine as the kernel lists them (`/proc/net/tcp` in proc(5)): whose a connection is, and which program
//! listens on a port. Without `/proc` nothing is known.

use std::{
    fs, iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::process::getuid;

const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";
const LISTS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// One socket of the list.
#[derive(Debug, PartialEq, Eq)]
struct ListedSocket {
    local: SocketAddr,
    remote: SocketAddr,
    is_established: bool,
    is_listening: bool,
    user: u32,
    inode: u64,
}

/// Both ends of a connection, as its server sees them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketPair {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

impl SocketPair {
    /// Whether the peer is on this machine and belongs to the user of this process, or to root, which may see everything anyway.
    /// Without the kernel's list, a peer of a loopback address counts.
    pub(crate) fn are_of_own_user(self) -> bool {
        let user = getuid().as_raw();
        // A list that changes while it is read may leave an entry out.
        let look = || entries().find(|entry| entry.is_peer_of(self));
        match look().or_else(look).or_else(look) {
            Some(entry) => entry.may_be_of(user),
            None => self.peer.ip().to_canonical().is_loopback() && entries().next().is_none(),
        }
    }
}

impl ListedSocket {
    /// Several connections to different places may share a local port, so both ends count.
    fn is_peer_of(&self, ends: SocketPair) -> bool {
        self.local == canonical(ends.peer) && self.remote == canonical(ends.local)
    }

    /// The kernel lists sockets that nobody holds any more as root's.
    fn may_be_of(&self, user: u32) -> bool {
        self.is_established && (self.user == user || self.user == 0)
    }
}

/// The program that listens on a port, as `name (process 123)`, if its owner may know: its own user, or root.
pub(super) fn listening_program(address: SocketAddr) -> Option<String> {
    let is_same = |other: IpAddr| other == address.ip() || other.is_unspecified() || address.ip().is_unspecified();
    let mut listening = entries().filter(|entry| entry.is_listening && entry.local.port() == address.port());
    let socket = format!("socket:[{}]", listening.find(|entry| is_same(entry.local.ip()))?.inode);
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()))?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {id})", name.trim_end()))
    })
}

fn entries() -> impl Iterator<Item = ListedSocket> {
    let mut lists = LISTS.into_iter().filter_map(|list| fs::read_to_string(list).ok());
    iter::from_fn(move || lists.next()).flat_map(|list| list.lines().filter_map(entry).collect::<Vec<_>>())
}

/// A line `1: 0100007F:1F90 00000000:0000 0A …`, whose addresses are in the machine's order of bytes.
fn entry(line: &str) -> Option<ListedSocket> {
    let mut fields = line.split_ascii_whitespace();
    let (local, remote, state) = (address(fields.nth(1)?)?, address(fields.next()?)?, fields.next()?);
    let (user, inode) = (fields.nth(3)?.parse().ok()?, fields.nth(1)?.parse().ok()?);
    Some(ListedSocket { local, remote, is_established: state == ESTABLISHED, is_listening: state == LISTENING, user, inode })
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into()
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?)))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_list_of_the_kernel_is_read() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:D431 0000000000000000FFFF00000100007F:1F90 01 0:0 00:0 0  1001  0 4712 1 0
   3: 0100007F:D431 0100007F:0009 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0
   2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0  0  0 4713 1 0
   garbage";
        let entries = || list.lines().filter_map(entry);
        let locals: Vec<String> = entries().map(|entry| entry.local.to_string()).collect();
        assert_eq!(locals, ["127.0.0.1:8080", "127.0.0.1:54321", "127.0.0.1:54321", "[::1]:80"]);
        let ends = |peer: &str, local: &str| SocketPair { peer: peer.parse().unwrap(), local: local.parse().unwrap() };
        let user_of =
            |ends: SocketPair| entries().find(|entry| entry.is_peer_of(ends)).map(|entry| (entry.user, entry.may_be_of(1001)));
        assert_eq!(user_of(ends("127.0.0.1:54321", "127.0.0.1:8080")), Some((1001, true)));
        assert_eq!(user_of(ends("[::ffff:127.0.0.1]:54321", "[::ffff:127.0.0.1]:8080")), Some((1001, true)));
        assert_eq!(user_of(ends("127.0.0.1:54321", "127.0.0.1:9")), Some((0, false)), "another connection from that port, closed");
        assert_eq!(user_of(ends("127.0.0.1:54322", "127.0.0.1:8080")), None);
    }
}
