//! A command in a pane of tmux: what it writes, and what tmux shows of it at the same moment.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Folder, SOON, look_for, printed_by, wait_until};

pub struct Pane {
    tmux: PathBuf,
    folder: Folder,
}

/// What a command wrote, the screen with its colours, and the cursor (column, row) if it is shown.
pub struct Shot {
    pub bytes: Vec<u8>,
    pub screen: String,
    pub cursor: Option<(usize, usize)>,
}

impl Pane {
    pub fn start(tmux: &Path, command: &str) -> Self {
        let pane = Self { tmux: tmux.to_owned(), folder: Folder::new() };
        pane.folder.put("conf", "set -g default-terminal tmux-256color\nset -g status off\n");
        let path = |name: &str| pane.folder.file(name).display().to_string();
        pane.folder.put("run", format!("stty -echo; until [ -e {} ]; do sleep .02; done; stty echo; exec {command}", path("go")));
        let shell = format!("sh {}", path("run"));
        let started = pane.tmux().args(["-f", &path("conf"), "-u", "new-session", "-d", "-x", "80", "-y", "24", &shell]).status();
        assert!(started.unwrap().success());
        // Before the command writes anything.
        pane.tell(&["pipe-pane", "-O", &format!("cat > {}", path("bytes"))]);
        wait_until("the pipe is open", SOON, || pane.folder.file("bytes").exists());
        pane.folder.put("go", "");
        pane
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new(&self.tmux);
        tmux.arg("-S").arg(self.folder.file("socket")).env_remove("TMUX").env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8");
        tmux.env("HOME", self.folder.path()).env_remove("COLORTERM").env_remove("LESS").stdin(Stdio::null());
        tmux
    }

    fn tell(&self, args: &[&str]) -> String {
        String::from_utf8(printed_by(self.tmux().args(args))).unwrap()
    }

    pub fn press(&self, key: &str) {
        self.tell(&["send-keys", key]);
        self.wait_until_at_rest();
    }

    pub fn wait_until_shown(&self, is_drawn: impl Fn(&str) -> bool) {
        wait_until("the command has drawn", SOON, || is_drawn(&self.tell(&["capture-pane", "-p"])));
        self.wait_until_at_rest();
    }

    fn wait_until_at_rest(&self) {
        let written = || fs::metadata(self.folder.file("bytes")).map_or(0, |file| file.len());
        let mut before = (written(), 0);
        // A command that never rests is taken as it is.
        look_for(SOON / 10, || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let now = written();
            before = if now == before.0 { (now, before.1 + 1) } else { (now, 0) };
            (before.1 >= 5).then_some(())
        });
    }

    /// Stops the command, so that what is shown stays.
    pub fn stop(&self) {
        let pid = self.tell(&["display-message", "-p", "#{pane_pid}"]);
        assert!(Command::new("kill").args(["-STOP", pid.trim()]).status().unwrap().success());
    }

    /// Takes what the command wrote and what is shown of that.
    pub fn take(&self) -> Shot {
        self.wait_until_at_rest();
        let cursor = self.tell(&["display-message", "-p", "#{cursor_flag} #{cursor_x} #{cursor_y}"]);
        let numbers: Vec<usize> = cursor.split_whitespace().map(|number| number.parse().unwrap()).collect();
        Shot {
            bytes: fs::read(self.folder.file("bytes")).unwrap(),
            screen: self.tell(&["capture-pane", "-e", "-N", "-p"]),
            cursor: (numbers[0] == 1).then_some((numbers[1], numbers[2])),
        }
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").stderr(Stdio::null()).status();
    }
}
