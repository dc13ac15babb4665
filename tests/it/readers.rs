//! Other programs read a feed of JPEGs without an error.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::support::{Folder, Server, jpeg, mxr, tool};

/// Sixty small frames, played in a loop.
fn camera() -> (Folder, Server) {
    let folder = Folder::new();
    for at in 0..60_u8 {
        folder.put(&format!("{at}.jpg"), jpeg([at * 4, 120, 255 - at * 4]));
    }
    let server = mxr(["serve"]).arg(folder.path()).args(["--fps", "30"]).start();
    (folder, server)
}

#[track_caller]
fn run(program: &Path, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {args:?}: {}: {stderr}", program.display(), output.status);
    assert!(stderr.trim().is_empty(), "{} {args:?}: {stderr}", program.display());
    output
}

#[test]
fn curl_prints_a_feed() {
    let Some(curl) = tool(&["curl"]) else { return };
    let (_folder, server) = camera();
    let output = run(&curl, &["-sSN", "--max-time", "20", &server.url("/stream?parts=5")]);
    let count = output.stdout.windows(4).filter(|window| window == b"\xff\xd8\xff\xe0").count();
    assert_eq!(count, 5);
}

#[test]
fn curl_prints_a_log_as_it_grows() {
    let Some(curl) = tool(&["curl"]) else { return };
    let folder = Folder::new();
    folder.put("log", "one\ntwo\n");
    let server = mxr(["stdin"]).stdin(std::fs::File::open(folder.file("log")).unwrap()).start();
    let output = run(&curl, &["-sSN", "--max-time", "20", &server.url("/?history=2")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\r\n\r\none\r\n--") && text.contains("\r\n\r\ntwo\r\n--") && text.ends_with("--\r\n"), "{text}");
}

#[test]
fn curl_saves_a_snapshot() {
    let Some(curl) = tool(&["curl"]) else { return };
    let (_folder, server) = camera();
    server.view("/stream").part();
    let output = run(&curl, &["-sSf", "--max-time", "20", &server.url("/snapshot")]);
    assert!(image::load_from_memory(&output.stdout).is_ok());
}

#[test]
fn ffmpeg_reads_fifty_frames() {
    let Some(ffmpeg) = tool(&["ffmpeg"]) else { return };
    let (_folder, server) = camera();
    for path in ["/stream", "/", "/?action=stream"] {
        let args = ["-v", "error", "-f", "mpjpeg", "-i", &server.url(path), "-frames", "50", "-f", "null", "-"];
        run(&ffmpeg, &args);
    }
}

#[test]
fn gstreamer_decodes_a_feed_to_its_end() {
    let Some(gst) = tool(&["gst-launch-1.0"]) else { return };
    let (_folder, server) = camera();
    let location = format!("location={}", server.url("/stream?parts=50"));
    run(&gst, &["-q", "souphttpsrc", &location, "!", "multipartdemux", "!", "jpegdec", "!", "fakesink"]);
}

#[test]
fn gstreamer_gets_each_frame_byte_for_byte() {
    let Some(gst) = tool(&["gst-launch-1.0"]) else { return };
    let (folder, server) = camera();
    let location = format!("location={}", server.url("/stream?parts=20"));
    let files = format!("location={}", folder.beside("%03d.jpg").display());
    run(&gst, &["-q", "souphttpsrc", &location, "!", "multipartdemux", "single-stream=true", "!", "multifilesink", &files]);
    let frames: Vec<_> = (0..60).map(|at| std::fs::read(folder.file(&format!("{at}.jpg"))).unwrap()).collect();
    for at in 0..20 {
        let saved = std::fs::read(folder.beside(&format!("{at:03}.jpg"))).expect("twenty frames");
        assert!(frames.contains(&saved), "frame {at} of {} bytes", saved.len());
    }
}
