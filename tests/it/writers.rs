//! Who has a watched file open decides when it is shown: readers count for nothing, a writer that never rests is shown all the same,
//! and one that pauses is waited for.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    thread,
    time::{Duration, Instant},
};

use crate::support::{A_WHILE, BLUE, Folder, GREEN, PALETTE, RED, SOON, Server, jpeg, jpeg_of, mxr, noise, png, wait_until};

fn watch(folder: &Folder, names: &[&str]) -> Server {
    let paths = names.iter().map(|name| folder.file(name));
    mxr(["watch"]).args(paths).args(["--keepalive", "0"]).start()
}

/// What `/state` says of each feed under this key.
fn counts(server: &Server, key: &str) -> Vec<u64> {
    server.state()["feeds"].as_array().unwrap().iter().map(|feed| feed[key].as_u64().unwrap()).collect()
}

/// Writes so often, 50 ms apart, and each time the number.
fn without_rest(writes: usize, mut write: impl FnMut(usize)) {
    for number in 0..writes {
        write(number);
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_reader_that_has_the_file_open_holds_nothing_up() {
    let folder = Folder::new();
    folder.write("cam.jpg", jpeg(RED));
    let server = watch(&folder, &["cam.jpg"]);
    wait_until("the first is there", SOON, || server.get("/snapshot").head.status == 200);
    let _reader = File::open(folder.file("cam.jpg")).unwrap();
    let mut viewer = server.view("/stream");
    viewer.part();
    for colour in PALETTE.iter().cycle().skip(1).take(20) {
        folder.write("cam.jpg", jpeg(*colour));
        let start = Instant::now();
        assert!(viewer.part().body == jpeg(*colour));
        assert!(start.elapsed() < SOON);
    }
    // Without a rest between them, as a camera writes.
    let before = counts(&server, "published")[0];
    without_rest(40, |number| folder.write("cam.jpg", jpeg(PALETTE[number % PALETTE.len()])));
    let shown = counts(&server, "published")[0] - before;
    assert!(shown >= 15, "{shown} of 40");
}

#[test]
fn a_writer_that_never_rests_is_shown_about_once_a_second() {
    let folder = Folder::new();
    let names = ["a.csv", "a.md", "a.yaml", "a.txt", "a.json", "a.html", "a.jpg"];
    let content = |name: &str, number: usize| match name {
        "a.json" => format!("{{\"i\": \"{number:06}\"}}\n").into_bytes(),
        "a.html" => format!("<html><body>{number:08}</body></html>\n").into_bytes(),
        "a.jpg" => jpeg_of(PALETTE[number % PALETTE.len()], 64 + number as u32),
        _ => format!("- {number}\n").into_bytes(),
    };
    names.iter().for_each(|name| folder.write(name, content(name, 0)));
    let server = watch(&folder, &names);
    wait_until("all are there", SOON, || counts(&server, "published").iter().all(|published| *published == 1));
    let files = names.map(|name| OpenOptions::new().write(true).open(folder.file(name)).unwrap());
    let mut ends = names.map(|name| content(name, 0).len() as u64);
    without_rest(100, |number| {
        for ((name, mut file), end) in names.iter().zip(&files).zip(&mut ends) {
            let bytes = content(name, number + 1);
            match *name {
                "a.json" | "a.html" => file.write_all_at(&bytes, 0).unwrap(),
                "a.jpg" => {
                    file.set_len(0).unwrap();
                    file.write_all_at(&bytes, 0).unwrap();
                }
                _ => file.write_all_at(&bytes, *end).unwrap(),
            }
            *end += bytes.len() as u64;
            file.flush().unwrap();
        }
    });
    let published = counts(&server, "published");
    assert!(published.iter().all(|parts| *parts >= 4), "in five seconds: {names:?} {published:?}");
}

#[test]
fn a_picture_with_checksums_is_shown_at_once_though_its_writer_keeps_it_open() {
    let folder = Folder::new();
    folder.put("a.png", png(RED));
    let server = mxr(["watch", "--settle", "5000", "--keepalive", "0"]).arg(folder.file("a.png")).start();
    let mut viewer = server.view("/stream");
    viewer.part();
    let mut file = OpenOptions::new().write(true).truncate(true).open(folder.file("a.png")).unwrap();
    file.write_all(&png(GREEN)).unwrap();
    let start = Instant::now();
    assert!(viewer.part().body == png(GREEN));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn no_part_is_torn_while_the_writer_pauses_with_the_file_open() {
    let folder = Folder::new();
    let names = ["a.zip", "a.docx", "a.mp3", "a.npy", "a.gz", "a.jpg", "a.pdf"];
    let server = watch(&folder, &names);
    let mut bytes = noise(20_000, 1);
    bytes.drain(..16);
    let whole = |name: &str| match name {
        "a.jpg" => jpeg(BLUE),
        "a.pdf" => [b"%PDF-1.4\n".as_slice(), &[b'x'; 3000], b"\nstartxref\n9\n%%EOF\n"].concat(),
        _ => bytes.clone(),
    };
    let mut files: Vec<_> = names.iter().map(|name| File::create(folder.file(name)).unwrap()).collect();
    for quarter in 0..4 {
        thread::sleep(A_WHILE);
        let published = counts(&server, "published");
        assert!(published.iter().all(|parts| *parts == 0), "after {quarter} quarters: {names:?} {published:?}");
        for (name, file) in names.iter().zip(&mut files) {
            let whole = whole(name);
            file.write_all(&whole[whole.len() * quarter / 4..whole.len() * (quarter + 1) / 4]).unwrap();
        }
    }
    drop(files);
    for name in names {
        assert!(server.view(&format!("/stream/{name}")).part().body == whole(name), "{name}");
    }
}

#[test]
fn no_part_is_half_the_old_and_half_the_new_while_a_writer_that_writes_in_place_pauses() {
    let folder = Folder::new();
    // Of one length, and long enough to differ before the end mark.
    let gif =
        |byte: u8| [b"GIF89a\x01\0\x01\0\0\0\0".as_slice(), &comment(byte), b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"].concat();
    let document = |byte: u8| [b"<html><body>".as_slice(), &[byte; 3000], b"</body></html>\n"].concat();
    let wholes = [("a.gif", [gif(b'a'), gif(b'b')]), ("a.html", [document(b'a'), document(b'b')])];
    for (name, [old, _]) in &wholes {
        folder.write(name, old);
    }
    let server = watch(&folder, &["a.gif", "a.html"]);
    for (name, [old, new]) in &wholes {
        let mut viewer = server.view(&format!("/stream/{name}"));
        assert!(viewer.part().body == *old, "{name}");
        // Its writers are seen to close it.
        folder.write(name, new);
        assert!(viewer.part().body == *new, "{name}");
        let mut file = OpenOptions::new().write(true).open(folder.file(name)).unwrap();
        file.write_all(&old[..old.len() / 2]).unwrap();
        thread::sleep(A_WHILE);
        file.write_all(&old[old.len() / 2..]).unwrap();
        drop(file);
        assert!(viewer.part().body == *old, "{name}");
    }
}

/// Comments of a GIF.
fn comment(byte: u8) -> Vec<u8> {
    let blocks = [[255; 1].as_slice(), &[byte; 255]].concat();
    [b"\x21\xfe".as_slice(), &blocks.repeat(8), b"\0"].concat()
}

#[test]
fn a_file_without_its_end_is_shown_as_it_is_once_it_was_closed_and_has_rested_and_the_log_says_so_once() {
    let folder = Folder::new();
    let server = watch(&folder, &["a.jpg"]);
    let mut viewer = server.view("/stream");
    for colour in [RED, GREEN, BLUE] {
        let mut picture = jpeg(colour);
        picture.truncate(picture.len() - 2);
        folder.write("a.jpg", &picture);
        assert!(viewer.part().body == picture);
    }
    let said = "its end is missing; shown as it is";
    wait_until(said, SOON, || server.stderr().contains(said));
    server.expect_logs(said, 1);
    folder.write("a.jpg", jpeg(RED));
    assert!(viewer.part().body == jpeg(RED));
}

#[test]
fn pictures_without_their_end_that_are_written_again_and_again_are_shown() {
    let folder = Folder::new();
    let server = watch(&folder, &["a.jpg"]);
    without_rest(80, |number| {
        let mut picture = jpeg(PALETTE[number % PALETTE.len()]);
        picture.truncate(picture.len() - 2 - number % 7);
        folder.put("a.jpg", picture);
    });
    let shown = counts(&server, "published")[0];
    assert!(shown >= 2, "{shown} in four seconds");
}

#[test]
fn a_text_that_is_emptied_is_shown_as_an_empty_line() {
    let folder = Folder::new();
    folder.write("a.txt", "some lines\n");
    let server = watch(&folder, &["a.txt"]);
    let mut viewer = server.view("/stream");
    viewer.part();
    // As `> a.txt` does, while another program has it open.
    let _program = OpenOptions::new().append(true).open(folder.file("a.txt")).unwrap();
    folder.write("a.txt", "");
    assert_eq!(viewer.part().text(), "\n");
    folder.write("a.txt", "more\n");
    assert_eq!(viewer.part().text(), "more\n");
}

#[test]
fn files_that_the_kernel_makes_up_are_shown_at_the_poll_rate() {
    let proc = mxr(["watch", "/proc/uptime", "--keepalive", "0"]).start();
    let mut viewer = proc.view("/stream");
    let first = viewer.part().text();
    assert_eq!(first.lines().count(), 1);
    let start = Instant::now();
    for _ in 0..3 {
        assert_ne!(viewer.part().text(), first);
    }
    assert!(start.elapsed() < SOON);
    // Its size is a page, whatever it holds.
    let Ok(text) = fs::read("/sys/kernel/mm/transparent_hugepage/enabled") else { return };
    let sys = mxr(["watch", "/sys/kernel/mm/transparent_hugepage/enabled"]).start();
    assert!(sys.view("/stream").part().body == text);
}

#[test]
fn a_file_that_was_written_right_before_the_start_is_there_when_the_url_is() {
    for (name, body) in [("a.txt", b"text".to_vec()), ("a.jpg", jpeg(RED)), ("a.zip", vec![7; 999])] {
        let folder = Folder::new();
        folder.write(name, &body);
        let server = watch(&folder, &[name]);
        let reply = server.get("/snapshot");
        assert_eq!((reply.head.status, reply.body == body), (200, true), "{name}");
    }
}

#[test]
fn a_state_that_is_not_shown_is_counted_once() {
    let folder = Folder::new();
    let server = mxr(["watch", "--max-part", "1KiB"]).arg(folder.file("a.txt")).start();
    let mut viewer = server.view("/stream");
    for refused in 1..=3 {
        folder.put("a.txt", vec![b'x'; 2000 + refused]);
        wait_until("it is counted", SOON, || counts(&server, "refused") == [refused as u64]);
        folder.put("a.txt", refused.to_string());
        assert_eq!(viewer.part().text(), refused.to_string());
    }
    folder.put("a.txt", "");
    thread::sleep(A_WHILE);
    assert_eq!(counts(&server, "refused"), [3]);
}
