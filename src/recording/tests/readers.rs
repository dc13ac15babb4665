//! Who reads what mxr writes, and what mxr reads of others.

use std::process::{Command, Stdio};

use super::*;

/// Runs a program on a file; `None` where it is not installed.
fn output(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn python_reads_a_recording() {
    let (_folder, path) = recording_of(&[b"first", b"", b"a\r\nb\n"]);
    let script = "import email, sys\n\
        message = email.message_from_bytes(open(sys.argv[1], 'rb').read())\n\
        assert not message.defects and message.is_multipart(), message.defects\n\
        for part in message.get_payload(): print(part['X-Sequence'], part['X-Feed'], part.get_payload(decode=True), part.defects)";
    if let Some(seen) = output("python3", &["-c", script, path.to_str().unwrap()]) {
        assert_eq!(String::from_utf8_lossy(&seen), "1 a b'first' []\n2 a b'' []\n3 a b'a\\r\\nb\\n' []\n");
    }
}

#[test]
fn ffmpeg_plays_the_pictures_of_a_recording() {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(16, 16).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let (_folder, path) = recording_of(&[]);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let (mut appender, _) = Appender::open(file).unwrap();
    for sequence in 1..=3 {
        let part = RecordedPart { media: Media::from_known("image/jpeg"), ..recorded(sequence, jpeg.get_ref().clone()) };
        appender.append(&part, RunClock::start().read(part.at)).unwrap();
    }
    let input = ["-v", "error", "-skip_initial_bytes", "100", "-f", "mpjpeg", "-i", path.to_str().unwrap()];
    if let Some(seen) = output("ffmpeg", &[&input[..], &["-f", "framemd5", "-"]].concat()) {
        assert_eq!(String::from_utf8_lossy(&seen).lines().filter(|line| !line.starts_with('#')).count(), 3);
    }
}

#[test]
fn unknown_lines_are_skipped() {
    let (_folder, path) = recording_of(&[b"first", b"second"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let more = text
        .replacen("X-Recording: mxr 1\r\n", "X-New: 1\r\nX-Recording: mxr 1 further=words\r\nX-Newer: 2\r\n", 1)
        .replace("X-Sequence", "X-Mood: sunny; all=day\r\nX-Sequence");
    std::fs::write(&path, more).unwrap();
    assert_eq!(bodies_of(&path), ["first", "second"]);
    append_to(&path, &[b"third"]);
    assert_eq!(bodies_of(&path), ["first", "second", "third"]);
}

#[test]
fn a_newer_format_is_refused_by_its_version() {
    let (_folder, path) = recording_of(&[b"first"]);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("mxr 1", "mxr 2", 1)).unwrap();
    assert!(Recording::open(&path).unwrap_err().to_string().contains("newer"));
}

#[test]
fn a_stream_that_curl_saved_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved");
    let response = "HTTP/1.1 200 OK\r\nServer: cam\r\nContent-Type: multipart/x-mixed-replace; boundary=\"--cam\"\r\n\r\n";
    let head = "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\n";
    let streams = [
        ("as mxr sends it", format!("--B\r\n{head}one\r\n--B\r\n{head}two\r\n--B\r\n")),
        (
            "with the head of the response",
            format!("{}--B\r\n{head}one\r\n--B\r\n{head}two\r\n--B--\r\n", response.replace("--cam", "B")),
        ),
        ("with a line end before it", format!("\r\n--B\r\n{head}one\r\n--B\r\n{head}two\r\n--B\r\nCont")),
        ("with both", format!("{}\r\n--B\r\n{head}one\r\n--B\r\n{head}two", response.replace("--cam", "B"))),
        (
            "without lengths",
            "--B\r\nContent-Type: text/plain\r\n\r\none\r\n--B\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--B\r\n".to_owned(),
        ),
    ];
    for (what, stream) in streams {
        std::fs::write(&path, stream).unwrap();
        assert_eq!(bodies_of(&path), ["one", "two"], "{what}");
        let mut recording = Recording::open(&path).unwrap();
        let heads = heads_of(&mut recording);
        assert!(heads.iter().all(|head| head.headers.time.is_none() && head.clock.is_none()));
        let mut pacing = Pacing::new(1.0, None, Duration::from_millis(40));
        assert_eq!(heads.iter().map(|head| pacing.due(head).as_millis()).collect::<Vec<_>>(), [0, 40], "{what}");
    }
}

#[test]
fn a_saved_stream_of_a_careless_camera_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved");
    let head = "Content-Type: text/plain";
    let streams = [
        ("bare line feeds", format!("--B\n{head}\n\none\n--B\n{head}\n\ntwo\n--B\n")),
        (
            "another boundary than was announced",
            format!(
                "Content-Type: multipart/mixed; boundary=A\r\n\r\n--B\r\n{head}\r\n\r\none\r\n--B\r\n{head}\r\n\r\ntwo\r\n--B\r\n"
            ),
        ),
    ];
    for (what, stream) in streams {
        std::fs::write(&path, stream).unwrap();
        let file = || std::fs::File::open(&path).unwrap();
        assert!(!Recording::of(file()).unwrap().is_walkable().unwrap(), "{what}");
        let mut saved = SavedStream::of(file(), 1 << 20).unwrap();
        let bodies: Vec<Bytes> = std::iter::from_fn(|| saved.next_part().unwrap()).map(|part| part.body).collect();
        assert_eq!((bodies, saved.refused()), (vec!["one".into(), "two".into()], 0), "{what}");
    }
    for bodies in [&[][..], &[&b"one"[..]]] {
        let (_folder, path) = recording_of(bodies);
        assert!(Recording::open(&path).unwrap().is_walkable().unwrap());
    }
}

#[test]
fn a_body_that_holds_the_boundary_is_one_part() {
    let (_folder, path) = recording_of(&[]);
    let boundary = Recording::open(&path).unwrap().head().boundary.clone();
    let hostile = format!("a\r\n--{boundary}\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\nx\r\n--{boundary}--\r\n");
    append_to(&path, &[hostile.as_bytes(), b"second"]);
    assert_eq!(bodies_of(&path), [hostile.as_bytes(), b"second"]);
    // Cut off within it, it makes no parts, and nothing is cut off that may be parts.
    let bytes = std::fs::read(&path).unwrap();
    let body = heads_of(&mut Recording::open(&path).unwrap())[0].body as usize;
    for size in body..body + hostile.len() {
        std::fs::write(&path, &bytes[..size]).unwrap();
        assert!(bodies_of(&path).is_empty(), "cut at {size}");
    }
}

#[test]
fn the_running_recording_is_read_while_it_grows() {
    let (_folder, path) = recording_of(&[b"first"]);
    let mut recording = Recording::open(&path).unwrap();
    let mut cursor = recording.start();
    assert!(recording.next_part(&mut cursor).unwrap().is_some() && recording.next_part(&mut cursor).unwrap().is_none());
    append_to(&path, &[b"again", b"second"]);
    let next = recording.next_part(&mut cursor).unwrap().unwrap();
    assert_eq!(recording.body(&next, 100).unwrap(), "again");
    assert!(recording.body(&next, 4).is_err(), "a limit holds");
    assert_eq!(recording.cursor_of(&next), next.at);
}

#[test]
fn seeking_reads_heads_alone() {
    let big = vec![b'x'; 300 << 10];
    let (_folder, path) = recording_of(&[&big[..]; 20]);
    let mut recording = Recording::open(&path).unwrap();
    assert_eq!(heads_of(&mut recording).len(), 20);
    assert!(recording.bytes_read() <= (64 + 20 * 4) << 10, "{} bytes were read", recording.bytes_read());
}

#[test]
fn a_file_that_shrinks_while_it_is_read_ends_there() {
    let bodies = vec![&[b'x'; 3000][..]; 60];
    let without_length = format!("--B\r\n{}", "\r\nbody\r\n--B\r\n".repeat(9000));
    for size in [0, 150] {
        for before in (0..60).chain(0..3) {
            let (_folder, path) = recording_of(&bodies);
            if before < 3 {
                std::fs::write(&path, &without_length).unwrap();
            }
            let mut recording = Recording::open(&path).unwrap();
            let mut cursor = recording.start();
            (0..before).for_each(|_| drop(recording.next_part(&mut cursor).unwrap().unwrap()));
            std::fs::File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
            let after = std::iter::from_fn(|| recording.next_part(&mut cursor).unwrap()).count();
            assert!(after < 9000);
        }
    }
}

#[test]
fn a_hole_of_terabytes_takes_no_time() {
    const HUGE: u64 = 1 << 42;
    let (_folder, path) = recording_of(&[b"first", b"second"]);
    let whole = std::fs::read(&path).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    for cut in [whole.len(), whole.len() - 3, whole.len() - 60] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        file.set_len(HUGE).unwrap();
        assert!(bodies_of(&path).len() <= 2);
        append_to(&path, &[b"third"]);
        assert_eq!(bodies_of(&path).last().unwrap(), "third");
        assert!(file.metadata().unwrap().len() < 10_000, "it is cut off");
    }
    // Parts behind a hole are found, and not cut off.
    std::fs::write(&path, &whole).unwrap();
    let boundary = Recording::open(&path).unwrap().head().boundary.clone();
    let last = format!("\r\n--{boundary}\r\nContent-Length: 4\r\n\r\nlast\r\n--{boundary}--\r\n");
    file.set_len(whole.len() as u64 - 3).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, last.as_bytes(), HUGE).unwrap();
    assert_eq!(bodies_of(&path), ["first", "second", "last"]);
}
