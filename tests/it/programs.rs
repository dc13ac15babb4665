//! Real programs replace a watched file, each in its own way: every part is complete, and the last state is sent at once.
//! `cargo test --test it programs:: -- --nocapture` prints how soon.

use std::{
    fs,
    io::Write,
    mem::MaybeUninit,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::inotify;

use crate::support::{Folder, PALETTE, Server, Viewer, busy, mxr, padded_png, png, python, tool, wait_for};

/// The time that the last state may take on a busy machine. A fixed delay would be visible in the printed times.
const BUSY: Duration = Duration::from_secs(5);
/// The time that a program may take.
const RUNS: Duration = Duration::from_secs(60);

type Parts = Arc<Mutex<Vec<(Instant, Vec<u8>)>>>;

/// A file that is watched by mxr, and by the test itself.
struct Watched {
    folder: Folder,
    file: PathBuf,
    parts: Parts,
    /// When a writer last closed the file, or it was moved into place.
    closed: Arc<Mutex<Instant>>,
    delays: Vec<Duration>,
    viewer: thread::JoinHandle<()>,
    server: Server,
}

impl Watched {
    fn new(name: &str, first: impl AsRef<[u8]>) -> Self {
        let folder = Folder::new();
        folder.put(name, first);
        let server = mxr(["watch"]).arg(folder.file(name)).args(["--keepalive", "0"]).start();
        let parts = Parts::default();
        let viewer = collect(server.view("/stream"), parts.clone());
        wait_for("the first part", RUNS, || (!parts.lock().unwrap().is_empty()).then_some(()));
        let closed = note_closings(&folder.path(), name);
        Self { file: folder.file(name), folder, parts, closed, delays: Vec::new(), viewer, server }
    }

    /// Runs a program that replaces the file, and waits until its last state is pushed.
    fn replaced_by(&mut self, command: &mut Command) {
        let mut child = command.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(wait_for("the program ends", RUNS, || child.try_wait().unwrap()).success(), "{command:?}");
        let last = fs::read(&self.file).unwrap();
        let arrived = wait_for(&format!("{command:?} has its last state pushed"), RUNS, || {
            let parts = self.parts.lock().unwrap();
            parts.last().filter(|(_, body)| *body == last).map(|(arrived, _)| *arrived)
        });
        self.delays.push(arrived.saturating_duration_since(*self.closed.lock().unwrap()));
    }

    /// Expects that a decoder accepts every part, and that the last state of each run came soon.
    fn finish(mut self, decode: impl Fn(&[u8])) {
        self.server.terminate();
        self.viewer.join().unwrap();
        let parts = self.parts.lock().unwrap();
        parts.iter().for_each(|(_, body)| decode(body));
        self.delays.sort();
        let (median, most) = (self.delays[self.delays.len() / 2], self.delays[self.delays.len() - 1]);
        let name = thread::current().name().unwrap_or_default().to_owned();
        println!(
            "{name}: {} parts, {} runs, the last state after {median:.1?} (p50), {most:.1?} (most)",
            parts.len(),
            self.delays.len()
        );
        assert!(most < BUSY, "{:?}", self.delays);
    }
}

/// Takes every part in the background, until the feed ends.
fn collect(mut viewer: Viewer, parts: Parts) -> thread::JoinHandle<()> {
    viewer.connection.patience = RUNS;
    thread::spawn(move || {
        while let Some(part) = viewer.next() {
            parts.lock().unwrap().push((part.arrived, part.body));
        }
    })
}

/// Records when a writer closed the file, or when it was moved into place.
fn note_closings(folder: &Path, name: &str) -> Arc<Mutex<Instant>> {
    let closed = Arc::new(Mutex::new(Instant::now()));
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, folder, inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CLOSE_WRITE).unwrap();
    let (sink, name) = (closed.clone(), name.to_owned());
    thread::spawn(move || {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut space);
        while let Ok(event) = events.next() {
            if event.file_name().is_some_and(|file| file.to_bytes() == name.as_bytes()) {
                *sink.lock().unwrap() = Instant::now();
            }
        }
    });
    closed
}

fn is_picture(body: &[u8]) {
    image::load_from_memory(body).expect("a whole picture");
}

/// A document with its number at both ends.
fn json(number: usize) -> String {
    format!("{{\n\"first\": {number},\n\"text\": \"{}\",\n\"last\": {number}\n}}\n", "x".repeat(300_000))
}

fn is_json(body: &[u8]) {
    let value: serde_json::Value = serde_json::from_slice(body).expect("a whole document");
    assert_eq!(value["first"], value["last"]);
}

/// Edits both numbers of the document, five times.
#[track_caller]
fn edited(names: &[&str], edit: impl Fn(&Path, usize) -> Command) {
    let Some(program) = tool(names) else { return };
    let mut watched = Watched::new("report.json", json(0));
    (1..=5).for_each(|number| watched.replaced_by(&mut edit(&program, number)));
    watched.finish(is_json);
}

/// Copies one large picture after another over the file.
#[track_caller]
fn copied(name: &str, flags: &[&str]) {
    let Some(program) = tool(&[name]) else { return };
    let mut watched = Watched::new("plot.png", png(PALETTE[0]));
    for (number, colour) in PALETTE.into_iter().enumerate() {
        let picture = watched.folder.beside("picture.png");
        fs::write(&picture, padded_png(colour, 3_000_000 + number * 100_000, number as u32)).unwrap();
        watched.replaced_by(Command::new(&program).args(flags).arg(&picture).arg("plot.png"));
    }
    watched.finish(is_picture);
}

/// Runs a program that draws one picture after another; `draw` gets the program and a number.
#[track_caller]
fn drawn(file: &str, program: Option<PathBuf>, runs: usize, draw: impl Fn(&Path, usize) -> Command) {
    let Some(program) = program else { return };
    let mut watched = Watched::new(file, png(PALETTE[0]));
    (1..=runs).for_each(|number| watched.replaced_by(&mut draw(&program, number)));
    watched.finish(is_picture);
}

fn command<const N: usize>(program: &Path, args: [&str; N]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

#[test]
fn vim() {
    edited(&["vim", "vim.tiny"], |vim, number| {
        // vim writes differently below /tmp, where it makes no backup (docs/field.md, Programs that save).
        let edit = format!("%s/\\(st\": \\)\\d*/\\1{number}/");
        command(vim, ["-es", "-u", "NONE", "-N", "-c", "set backupskip=", "-c", &edit, "-c", "wq", "report.json"])
    });
}

#[test]
fn ed() {
    edited(&["ed"], |ed, number| {
        let line = format!("printf '%s\\n' '2s/[0-9][0-9]*/{number}/' '4s/[0-9][0-9]*/{number}/' w q | \"$0\" -s report.json");
        command(Path::new("sh"), ["-c", &line, ed.to_str().unwrap()])
    });
}

#[test]
fn sed_in_place() {
    edited(&["sed"], |sed, number| command(sed, ["-i", &format!("s/\\(st\": \\)[0-9]*/\\1{number}/"), "report.json"]));
}

#[test]
fn cp() {
    copied("cp", &[]);
}

#[test]
fn install() {
    copied("install", &["-m", "644"]);
}

#[test]
fn rsync() {
    copied("rsync", &[]);
}

#[test]
fn rsync_in_place() {
    copied("rsync", &["--inplace"]);
}

#[test]
fn imagemagick_at_twelve_megapixels() {
    busy();
    for file in ["plot.png", "plot.jpg"] {
        drawn(file, tool(&["convert"]), 1, |convert, number| {
            command(convert, ["-size", "4000x3000", &format!("gradient:#{number}00-#00{number}"), "-quality", "10", file])
        });
    }
}

#[test]
fn pillow() {
    busy();
    for file in ["plot.png", "plot.jpg"] {
        drawn(file, python("PIL"), 3, |python, number| {
            let script = format!(
                "from PIL import Image\n\
                 for n in range(5): Image.effect_noise((1200, 900), 10 * {number} + n).save('{file}')"
            );
            command(python, ["-c", &script])
        });
    }
}

#[test]
fn gnuplot() {
    drawn("plot.png", tool(&["gnuplot"]), 5, |gnuplot, number| {
        let script = format!("set term png size 1600,1200; set output 'plot.png'; plot sin(x * {number})");
        command(gnuplot, ["-e", &script])
    });
}

#[test]
fn pdftoppm() {
    drawn("plot.png", tool(&["pdftoppm"]), 3, |pdftoppm, number| {
        let script = format!("cat > page.pdf; \"$0\" -png -r {} -singlefile page.pdf plot", 200 + number);
        let mut command = command(Path::new("sh"), ["-c", &script, pdftoppm.to_str().unwrap()]);
        command.stdin(pipe_of(PDF));
        command
    });
}

/// One page with a triangle, without a cross-reference table, which readers reconstruct.
const PDF: &str = "%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 600 600] /Contents 4 0 R /Resources <<>>>> endobj
4 0 obj <</Length 47>> stream
1 0 0 rg 100 100 m 500 100 l 300 500 l h f
endstream endobj
trailer <</Root 1 0 R>>
%%EOF
";

fn pipe_of(text: &str) -> Stdio {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    reader.into()
}

/// Two seconds of frames, each of which replaces the one before.
#[track_caller]
fn ffmpeg(flags: &[&str]) {
    for file in ["frame.jpg", "frame.png"] {
        drawn(file, tool(&["ffmpeg"]), 1, |ffmpeg, _| {
            let mut command = command(ffmpeg, ["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x480:rate=25"]);
            command.args(["-t", "2", "-update", "1"]).args(flags).args(["-y", file]);
            command
        });
    }
}

#[test]
fn ffmpeg_update() {
    ffmpeg(&[]);
}

#[test]
fn ffmpeg_update_atomically() {
    ffmpeg(&["-atomic_writing", "1"]);
}
