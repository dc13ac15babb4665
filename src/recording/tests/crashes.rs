//! Whatever is cut off a recording, the parts before are there, and it can be appended to.

use proptest::prelude::*;

use super::*;

fn truncated(bytes: &[u8], size: usize, path: &Path) {
    std::fs::write(path, &bytes[..size]).unwrap();
}

/// The offsets after each body.
fn ends_of(path: &Path) -> Vec<u64> {
    heads_of(&mut Recording::open(path).unwrap()).iter().map(|part| part.body + part.length).collect()
}

/// Cuts a recording at a byte, and checks what is left of it, before and after another run appends to it.
fn check_cut(path: &Path, bytes: &[u8], bodies: &[&[u8]], ends: &[u64], size: usize) {
    truncated(bytes, size, path);
    let whole = ends.iter().filter(|end| **end <= size as u64).count();
    let has_head = size >= 100;
    if has_head {
        assert_eq!(bodies_of(path), bodies[..whole], "cut at {size}");
    } else {
        assert_eq!(Recording::open(path).err().map(|why| why.kind()), Some(std::io::ErrorKind::UnexpectedEof), "cut at {size}");
    }
    let cut = append_to(path, &[b"more"]);
    let expected = [&bodies[..whole], &[b"more"]].concat();
    assert_eq!(bodies_of(path), expected, "cut at {size}, appended to");
    let is_within = size as u64 > ends[..whole].last().copied().unwrap_or(98) + 42 && size < bytes.len() - 4;
    assert!(cut.is_some() || !is_within, "cut at {size}: nothing is said");
}

#[test]
fn a_recording_cut_at_any_byte_loses_the_part_that_is_cut_alone() {
    let bodies: [&[u8]; 4] = [b"first", b"", b"\r\n--mxr-0\r\nContent-Type: text/plain\r\n\r\nthird", b"\r\n"];
    let (_folder, path) = recording_of(&bodies);
    let (bytes, ends) = (std::fs::read(&path).unwrap(), ends_of(&path));
    for size in 0..=bytes.len() {
        check_cut(&path, &bytes, &bodies, &ends, size);
    }
}

#[test]
fn a_write_that_stops_at_any_byte_loses_its_own_part_alone() {
    let (_folder, path) = recording_of(&[b"first"]);
    let before = std::fs::read(&path).unwrap();
    append_to(&path, &[b"second"]);
    let after = std::fs::read(&path).unwrap();
    let end = before.len() - "\r\n--mxr---\r\n".len() - 32;
    for written in 0..after.len() - end {
        // What the write has not reached is as before: the old close-delimiter, or nothing.
        let size = before.len().max(end + written);
        let mixed = [&after[..end + written], &before[(end + written).min(before.len())..]].concat();
        truncated(&mixed, size, &path);
        let bodies = bodies_of(&path);
        assert!(bodies == ["first"] || (bodies == ["first", "second"]), "{written}: {bodies:?}");
        append_to(&path, &[b"third"]);
        assert_eq!(bodies_of(&path), [&bodies[..], &["third".into()]].concat(), "{written}");
    }
}

#[test]
fn zeros_that_a_power_cut_left_are_cut_off() {
    let (_folder, path) = recording_of(&[b"first", b"second"]);
    let before = std::fs::read(&path).unwrap();
    let mut bytes = before.clone();
    let (ends, size) = (ends_of(&path), bytes.len());
    // Behind the close-delimiter, in place of the delimiters, and in the second body.
    for (kept, whole) in [(size, 2), (ends[0] as usize + 1, 0), (ends[1] as usize - 1, 1), (ends[1] as usize, 1)] {
        bytes.truncate(kept);
        bytes.resize(size + 5000, 0);
        std::fs::write(&path, &bytes).unwrap();
        let expected = &["first", "second", "third"];
        assert_eq!(bodies_of(&path), expected[..whole], "{kept} bytes");
        assert!(append_to(&path, &[b"third"]).is_some_and(|cut| cut.bytes >= 5000), "{kept} bytes");
        assert_eq!(bodies_of(&path), [&expected[..whole], &expected[2..]].concat(), "{kept} bytes");
        bytes = before.clone();
    }
}

#[test]
fn a_damaged_part_costs_that_part_alone() {
    let (_folder, path) = recording_of(&[b"first", b"second", b"third"]);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("Length: 6", "Length: 4", 1)).unwrap();
    assert_eq!(bodies_of(&path), ["first", "third"]);
    let mut recording = Recording::open(&path).unwrap();
    let count = heads_of(&mut recording).len();
    assert_eq!((recording.damaged(), recording.torn(), count), (1, 0, 2));
    assert_eq!(append_to(&path, &[b"fourth"]), None);
    assert_eq!(bodies_of(&path), ["first", "third", "fourth"]);
}

#[test]
fn what_may_be_other_parts_is_never_cut_off() {
    let (_folder, path) = recording_of(&[b"first", b"second"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let refused = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let why = Appender::open(file).unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{why}");
        why.to_string()
    };
    assert!(refused(&text.replacen("Length: 5", "Length: 99999", 1)).contains("cut off"));
    assert!(refused(&format!("{text}{text}")).contains("cut off"));
    assert!(refused("a photograph").contains("no recording"));
    assert!(refused("--B\r\nContent-Type: text/plain\r\n\r\na\r\n--B--\r\n").contains("no recording"));
    assert!(refused(&text.replacen("mxr 1", "mxr 2", 1)).contains("newer"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_bodies_survive_any_cut(
        bodies in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"\r\n-B:\0"[..]), 0..20), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        let (_folder, path) = recording_of(&bodies);
        let (bytes, ends) = (std::fs::read(&path).unwrap(), ends_of(&path));
        check_cut(&path, &bytes, &bodies, &ends, cut.index(bytes.len() + 1));
    }

    #[test]
    fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(prop::sample::select(&b"\r\n-B:; x1"[..]), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, [b"--B\r\nContent-Length: 1\r\n\r\na\r\n--B\r\n", &bytes[..]].concat()).unwrap();
        prop_assert!(bodies_of(&path).len() <= bytes.len() + 2);
    }
}

/// Where the process writes that is to be killed.
const KILLED: &str = "TEST_MXR_KILLED_RECORDING";

#[test]
#[ignore = "the process that the next test kills"]
fn records_until_it_is_killed() {
    let Ok(path) = std::env::var(KILLED) else { return };
    let recorder = Recorder::start(Box::new(SingleFile(path.into())), RecorderSettings::default()).unwrap();
    // Not for ever, if nobody kills it.
    for sequence in 1..=2000 {
        // Of another time than those of the run before, which would be repeats.
        let part = RecordedPart { time: SystemTime::now(), ..recorded(sequence, body_of(sequence)) };
        while !recorder.push(part.clone()) {
            std::thread::yield_now();
        }
    }
}

fn body_of(sequence: u64) -> Vec<u8> {
    vec![sequence as u8; (sequence as usize * 7919) % 100_000]
}

#[test]
fn a_killed_process_leaves_whole_parts_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mxr");
    let name = "recording::tests::crashes::records_until_it_is_killed";
    let size = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    for kill in 1..=8 {
        let before = size();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored"])
            .env(KILLED, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while size() < before + kill * 77_777 {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is recorded");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut recording = Recording::open(&path).unwrap();
        let (mut expected, mut runs) = (1, 0);
        for part in heads_of(&mut recording) {
            let sequence = part.headers.sequence.unwrap();
            (expected, runs) = if sequence == 1 { (1, runs + 1) } else { (expected, runs) };
            assert_eq!(sequence, expected, "in run {runs}");
            assert_eq!(recording.body(&part, 1 << 20).unwrap(), body_of(sequence));
            expected += 1;
        }
        assert_eq!((runs, recording.damaged()), (kill, 0));
    }
}
