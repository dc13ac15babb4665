//! `mxr doctor PATH`: why a file is not shown, by the same judgement as `mxr watch`.

use std::{fs, io::Write, path::Path};

use serde_json::Value;

use crate::support::{Folder, GREEN, RED, jpeg, mxr, png, skip};

fn report(path: &Path) -> Value {
    let finished = mxr(["doctor", "--json"]).arg(path).run();
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stderr))
}

fn names(path: &Path) -> Vec<String> {
    let report = report(path);
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["name"].as_str().unwrap().to_owned()).filter(|name| name != "silent-file-system").collect()
}

#[test]
fn each_reason_for_which_a_file_is_not_shown_is_named_and_no_other() {
    let folder = Folder::new();
    folder.put("whole.png", png(RED));
    folder.put("text.log", "line");
    folder.put("torn.png", &png(RED)[..40]);
    folder.put("unlike.png", "<html>");
    folder.put("empty.jpg", "");
    fs::File::create(folder.file("large.jpg")).unwrap().set_len((64 << 20) + 1).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.file("link.png")).unwrap();
    let fifo = folder.file("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _listener = std::os::unix::net::UnixListener::bind(folder.file("socket")).unwrap();
    fs::create_dir_all(folder.file("empty/below")).unwrap();
    fs::write(folder.file("empty/.hidden.png"), png(RED)).unwrap();
    for (name, expected) in [
        ("whole.png", &[][..]),
        ("text.log", &[]),
        ("torn.png", &["file-torn"]),
        ("unlike.png", &["file-not-its-type"]),
        ("empty.jpg", &["file-empty"]),
        ("large.jpg", &["file-too-large"]),
        ("link.png", &["file-missing"]),
        ("none.png", &["file-missing"]),
        ("whole.png/none.png", &["file-missing"]),
        ("fifo", &["special-file"]),
        ("socket", &["special-file"]),
        ("empty", &["no-files"]),
    ] {
        assert_eq!(names(&folder.file(name)), expected, "{name}");
    }
}

#[test]
fn of_a_directory_the_newest_file_is_looked_at() {
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    folder.put("b.jpg", &jpeg(GREEN)[..100]);
    let time = fs::metadata(folder.file("b.jpg")).unwrap().modified().unwrap();
    fs::File::options()
        .write(true)
        .open(folder.file("a.jpg"))
        .unwrap()
        .set_modified(time - std::time::Duration::from_secs(9))
        .unwrap();
    let report = report(&folder.path());
    let file = &report["facts"]["file"];
    assert!(
        file["path"].as_str().unwrap().ends_with("/b.jpg") && file["files"] == 2 && file["completeness"] == "truncated",
        "{file}"
    );
    assert_eq!(report["findings"][0]["name"], "file-torn");
}

#[cfg(target_os = "linux")]
#[test]
fn a_writer_that_has_the_file_open_is_told() {
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    let mut writer = fs::File::options().append(true).open(folder.file("a.jpg")).unwrap();
    assert_eq!(names(&folder.file("a.jpg")), ["writer-open"]);
    writer.write_all(b"").unwrap();
    drop(writer);
    mxr(["doctor"]).arg(folder.file("a.jpg")).run().success().stdout("Nothing found.");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_tells_of_no_changes_is_told() {
    let report = report(Path::new("/proc/uptime"));
    assert_eq!(
        (&report["findings"][0]["name"], &report["findings"][0]["severity"]),
        (&"silent-file-system".into(), &"note".into())
    );
    assert_eq!(report["facts"]["file"]["file_system"], "proc");
}

#[test]
fn a_file_that_this_user_may_not_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.put("a.jpg", jpeg(RED));
    fs::set_permissions(folder.file("a.jpg"), fs::Permissions::from_mode(0o000)).unwrap();
    if rustix::process::geteuid().is_root() {
        return skip("root may read everything");
    }
    assert_eq!(names(&folder.file("a.jpg")), ["not-permitted"]);
    mxr(["doctor"]).arg(folder.file("a.jpg")).run().code(1).stdout("not-permitted");
}
