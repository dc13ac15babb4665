//! The generated files that are committed: man pages, completion scripts and the usage in the README come from the definition of the
//! command line, the table of folders in docs/architecture.md comes from the sources. These tests are also the generator:
//! `MXR_BLESS=1 cargo test --test it docs::` rewrites stale files.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use clap::{ArgAction, CommandFactory};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, italic, roman},
};
use mxr::{
    cli::Cli,
    doctor::{FindingKind, kinds},
    error::ExitCode,
};

use crate::{
    layers::drawing,
    support::{SOON, look_for, mxr, root, tool},
};

/// Rewrites every generated text.
const BLESS: &str = "MXR_BLESS=1 cargo test --test it docs::";
/// The width of the usage in the README, independent of the terminal.
const COLUMNS: &str = "100";

const EXIT_STATUS: [(ExitCode, &str); 5] = [
    (ExitCode::Clean, "Success: the work is done, or SIGTERM or the first Ctrl-C stopped it."),
    (ExitCode::Failure, "Failure. The message says what could not be done, and why; `mxr doctor`: something breaks a reader."),
    (ExitCode::Usage, "The command line is invalid, or the file of `mxr up`."),
    (ExitCode::NotLooked, "`mxr doctor` could not look: the message says why."),
    (ExitCode::Interrupted, "A second Ctrl-C: mxr did not wait for its viewers."),
];

#[test]
fn man_pages_are_those_of_the_command_line() {
    expect_folder("man", &man_pages());
}

#[test]
fn completion_scripts_are_those_of_the_command_line() {
    let scripts = [(Shell::Bash, "mxr.bash"), (Shell::Fish, "mxr.fish"), (Shell::Zsh, "_mxr")];
    expect_folder("completions", &scripts.map(|(shell, name)| (name.to_owned(), completions(shell))).into());
}

#[test]
fn the_usage_in_the_readme_is_that_of_help() {
    let help = mxr(["--help"]).env("COLUMNS", COLUMNS).run().success().printed();
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (start, end) = ("```text\n$ mxr --help\n", "```\n");
    let (before, rest) = readme.split_once(start).expect("the README has a block that begins with `$ mxr --help`");
    let (_, after) = rest.split_once(end).unwrap();
    expect_file(&path, &[before, start, &help, end, after].concat());
}

#[test]
fn the_rooms_in_the_architecture_are_those_of_the_sources() {
    let path = root().join("docs/architecture.md");
    let text = fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- rooms: begin -->\n", "<!-- rooms: end -->");
    let (before, rest) = text.split_once(start).expect("docs/architecture.md has a place for the rooms");
    let (_, after) = rest.split_once(end).unwrap();
    let wanted = [before, start, &drawing(), end, after].concat();
    // Nearly every change makes a room longer or shorter: the lengths are those of the last time that the page was written.
    if is_blessed() || without_lengths(&text) != without_lengths(&wanted) {
        expect_file(&path, &wanted);
    }
}

#[test]
fn the_findings_in_the_doctor_page_are_those_of_the_code() {
    let path = root().join("docs/doctor.md");
    let text = fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- findings: begin -->\n", "<!-- findings: end -->");
    let (before, rest) = text.split_once(start).expect("docs/doctor.md has a place for the findings");
    let (_, after) = rest.split_once(end).unwrap();
    let row = |kind: &FindingKind| {
        let FindingKind { name, severity, readers, what, cure } = kind;
        let readers: Vec<&str> = readers.iter().map(|reader| reader.name()).collect();
        let cell = |text: &str| text.replace('<', "\\<");
        format!("| `{name}` | {} | {} | {} | {} |\n", severity.name(), cell(what), readers.join("; "), cell(cure))
    };
    let head = "| name | severity | what it is | readers that do not take it | cure |\n|---|---|---|---|---|\n";
    let table = kinds().map(row).collect::<String>();
    expect_file(&path, &[before, start, head, &table, end, after].concat());
    let names: BTreeSet<&str> = kinds().map(|kind| kind.name).collect();
    assert_eq!(names.len(), kinds().count(), "a name is that of one kind");
}

/// The page without the column of the lengths, and without their sum.
fn without_lengths(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.ends_with(" lines without tests."));
    let column = |line: &str| line.split('|').enumerate().filter(|(at, _)| *at != 4).map(|(_, cell)| cell).collect();
    lines.map(|line| if line.starts_with("| ") { column(line) } else { line.to_owned() }).collect()
}

#[test]
fn the_commands_in_the_readme_are_understood() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut commands = BTreeSet::new();
    for line in blocks(&readme, "sh") {
        let line = line.split(" # ").next().unwrap();
        let uses = line.match_indices("mxr ").filter(|(at, _)| line[..*at].is_empty() || line[..*at].ends_with("| "));
        for (at, _) in uses {
            let ends = |word: &str| ["|", "&", ">", ";"].contains(&word);
            let words = line[at..].split_whitespace().take_while(|word| !ends(word)).map(|word| word.trim_matches(['\'', '"']));
            let parsed = Cli::command().try_get_matches_from(words);
            let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
            commands.extend(parsed.subcommand_name().map(str::to_owned));
        }
    }
    let root = root_command();
    for name in root.get_subcommands().map(clap::Command::get_name) {
        assert!(commands.contains(name), "the README does not show how to use `mxr {name}`");
    }
}

#[test]
fn every_fault_in_the_reliability_table_has_its_test() {
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |")).collect();
    assert!(rows.len() > 25, "{} rows", rows.len());
    let sources = sources(&root().join("src"));
    for row in rows {
        let named = row.trim_end_matches("` |").rsplit('`').next().unwrap();
        let (file, test) = named.split_once("::").unwrap_or_else(|| panic!("no test is named: {row}"));
        let code = match file {
            "lib" => sources.clone(),
            file => fs::read_to_string(root().join(format!("tests/it/{file}.rs"))).unwrap(),
        };
        assert!(code.contains(&format!("fn {test}()")), "there is no {named}");
    }
}

#[test]
fn every_heading_of_the_field_notes_that_code_cites_exists() {
    let notes = fs::read_to_string(root().join("docs/field.md")).unwrap();
    let headings: Vec<&str> = notes.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let sources = sources(&root().join("src"));
    for (at, cited) in sources.match_indices("docs/field.md, ") {
        let rest = &sources[at + cited.len()..];
        assert!(headings.iter().any(|heading| rest.starts_with(heading)), "no heading for {:?}", rest.lines().next());
    }
}

/// All code below a folder.
fn sources(folder: &Path) -> String {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let code = paths.map(|path| match path.is_dir() {
        true => sources(&path),
        false if path.extension().is_some_and(|kind| kind == "rs" || kind == "js") => fs::read_to_string(&path).unwrap(),
        false => String::new(),
    });
    code.collect()
}

#[test]
fn routes_are_the_same_in_the_readme_in_help_and_in_fact() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme.split_once("\n| path | reply |\n").unwrap();
    let cells = table.lines().take_while(|line| line.starts_with('|')).skip(1).map(|line| line.split('|').nth(1).unwrap());
    let paths: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let help = mxr(["--help"]).run().success().printed();
    let server = mxr(["serve", "--demo"]).start();
    assert!(paths.len() > 12, "{paths:?}");
    for path in paths {
        let documented = path.strip_suffix("/NAME").unwrap_or(path);
        let in_help = |ending: &str| help.contains(&format!("{documented}{ending}"));
        assert!([" ", ",", ".", "\n", "["].iter().any(|ending| in_help(ending)), "--help does not speak of {path}");
        // The last route ends the server and allows only GET, so this requests its head.
        let status = server.request("HEAD", &path.replace("NAME", "demo"), &["Sec-Fetch-Site: cross-site"]).head.status;
        // The demo is each viewer's own, and has no past.
        let has_no_past = || server.get(&path.replace("NAME", "demo")).text().contains("nothing is recorded");
        assert!(status != 404 || has_no_past(), "{path}");
    }
}

#[test]
fn mandoc_has_nothing_to_complain_about() {
    let Some(mandoc) = tool(&["mandoc"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, page) in man_pages() {
        let path = folder.path().join(name);
        fs::write(&path, page).unwrap();
        let output = Command::new(&mandoc).args(["-Tlint", "-Wstyle"]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn every_option_and_variable_is_in_a_man_page() {
    let pages = man_pages();
    for command in root_command().get_subcommands() {
        let page = &pages[&format!("mxr-{}.1", command.get_name())];
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let named = arg.get_long().map(|long| long.replace('-', r"\-"));
            let variable = arg.get_env().map(|name| name.to_str().unwrap().to_owned());
            for word in named.into_iter().chain(variable) {
                assert!(page.contains(&word), "mxr-{}.1 does not speak of {word}", command.get_name());
            }
        }
    }
}

#[test]
fn every_option_has_its_variable() {
    // One that only says what is so anyway, and clap's own.
    let is_exempt = |arg: &clap::Arg| ["demo", "help", "version"].contains(&arg.get_id().as_str());
    for command in root_command().get_subcommands().filter(|command| command.get_name() != "completions") {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional() && !is_exempt(arg)) {
            let (command, long) = (command.get_name(), arg.get_long().unwrap());
            let wanted = format!("MXR_{}", long.replace('-', "_").to_uppercase());
            let variable = arg.get_env().map(|name| name.to_str().unwrap().to_owned());
            assert_eq!(variable, Some(wanted), "the variable of `mxr {command} --{long}`: it has env = \"MXR_…\"");
        }
    }
}

#[test]
fn every_command_is_in_the_changelog() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    for command in root_command().get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("`mxr {}", command.get_name());
        assert!(changelog.contains(&name), "CHANGELOG.md does not speak of {name}`");
    }
}

#[test]
fn every_file_of_tests_is_in_the_program() {
    let program = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        assert!(module == "main" || program.contains(&format!("mod {module};")), "tests/it/main.rs does not name {module}");
    }
}

#[test]
fn bash_completes() {
    let Some(shell) = tool(&["bash"]) else { return };
    let script = Script::new(Shell::Bash, "mxr.bash");
    let complete = |words: &str| {
        let code = "source \"$1\"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            COMP_LINE=$2; COMP_POINT=${#2}
            spec=($(complete -p mxr)); while [[ ${spec[0]} != -F ]]; do spec=(\"${spec[@]:1}\"); done
            \"${spec[1]}\" mxr \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"
            printf '%s\\n' \"${COMPREPLY[@]}\"";
        output_of(Command::new(&shell).args(["--norc", "--noprofile", "-c", code, "bash"]).arg(&script.path).arg(words))
    };
    assert_eq!(complete("mxr wa"), "watch\n");
    assert_eq!(complete("mxr stdin --win"), "--window\n");
    assert_eq!(complete("mxr serve --log-format j"), "json\n");
    assert_eq!(complete("mxr stdin --split mu"), "multipart\n");
}

#[test]
fn fish_completes() {
    let Some(shell) = tool(&["fish"]) else { return };
    let script = Script::new(Shell::Fish, "mxr.fish");
    let complete = |words: &str| {
        let code = format!("source '{}'; complete -C '{words}'", script.path.display());
        let home = script.folder.path();
        let text = output_of(Command::new(&shell).args(["--no-config", "-c", &code]).env("HOME", home).env("XDG_DATA_HOME", home));
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete("mxr wa"), ["watch"]);
    assert_eq!(complete("mxr stdin --win"), ["--window"]);
    assert_eq!(complete("mxr serve --log-format j"), ["json"]);
    assert_eq!(complete("mxr stdin --split "), ["auto", "blank", "jpeg", "lines", "multipart", "nul", "png"]);
    assert_eq!(complete("mxr stdin --window 5 --split m"), ["multipart"]);
    assert_eq!(complete("mxr completions "), ["bash", "elvish", "fish", "powershell", "zsh"]);
    assert_eq!(complete("mxr help st"), ["stdin"]);
    assert!(complete("mxr stdin ").is_empty(), "it takes no file");
    assert!(complete("mxr watch /etc/host").contains(&"/etc/hostname".to_owned()));
    assert!(complete("mxr stdin --auth-file /etc/host").contains(&"/etc/hostname".to_owned()));
    assert!(complete("mxr serve /etc/host").contains(&"/etc/hostname".to_owned()), "a recording is a file");
}

/// zsh completes only in a terminal: so this presses Tab in one, and runs the completed line.
#[test]
fn zsh_completes() {
    let Some(shell) = tool(&["zsh"]) else { return };
    let script = Script::new(Shell::Zsh, "_mxr");
    let folder = script.folder.path();
    let settings = "PS1= PS2= RPS1=\nfpath=($ZDOTDIR $fpath)\nautoload -Uz compinit && compinit -D -u\n\
                    mxr() { print -r -- \"<ran $*>\" }\nprint -r -- '<ready>'\n";
    fs::write(folder.join(".zshrc"), settings).unwrap();
    let complete = |words: &str| {
        let code = "zmodload zsh/zpty && zpty -b shell \"$1 -d -i\"
            wait_for() { until [[ $text == $~1 ]]; do zpty -r shell line && text+=$line || sleep 0.01; done }
            wait_for '*<ready>*'
            zpty -w -n shell \"$2\"$'\\t\\n'
            wait_for '*<ran *>*'
            zpty -d shell; print -r -- ${${text##*<ran }%%>*}";
        let mut command = Command::new(&shell);
        output_of(command.args(["-f", "-c", code, "zsh"]).arg(&shell).arg(words).env("ZDOTDIR", folder)).trim().to_owned()
    };
    assert_eq!(complete("mxr wa"), "watch");
    assert_eq!(complete("mxr stdin --win"), "stdin --window");
    assert_eq!(complete("mxr serve --log-format j"), "serve --log-format json");
    assert_eq!(complete("mxr stdin --split mu"), "stdin --split multipart");
}

/// A completion script as `mxr` prints it, in its own folder.
struct Script {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Script {
    fn new(shell: Shell, name: &str) -> Self {
        let printed = mxr(["completions", &shell.to_string()]).run().success().printed();
        assert_eq!(printed, completions(shell), "what mxr prints is what is committed");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, completions(shell)).unwrap();
        Self { folder, path }
    }
}

/// Standard output of a shell that ends by itself and prints nothing to standard error.
fn output_of(command: &mut Command) -> String {
    command.env("TERM", "dumb").env_remove("COLUMNS").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if look_for(SOON * 3, || child.try_wait().unwrap()).is_none() {
        child.kill().unwrap();
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stderr.is_empty(), "{status}, {stderr}\n{stdout}");
    stdout
}

/// The lines of the fenced blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}");
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.starts_with("```") {
            true => inside = line == fence,
            false if inside => lines.push(line),
            false => {}
        }
    }
    lines
}

fn is_blessed() -> bool {
    env::var_os("MXR_BLESS").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The folder holds these files and no others.
fn expect_folder(name: &str, files: &BTreeMap<String, String>) {
    let folder = root().join(name);
    for (file, text) in files {
        expect_file(&folder.join(file), text);
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if !files.contains_key(path.file_name().unwrap().to_str().unwrap()) {
            match is_blessed() {
                true => fs::remove_file(&path).unwrap(),
                false => panic!("{} belongs to nothing any more; `{BLESS}` removes it", path.display()),
            }
        }
    }
}

fn expect_file(path: &Path, text: &str) {
    let found = fs::read_to_string(path).unwrap_or_default();
    if found == text {
        return;
    }
    if is_blessed() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(path, text).unwrap();
    }
    let same = found.lines().zip(text.lines()).take_while(|(found, wanted)| found == wanted).count();
    let line = |text: &str| text.lines().nth(same).map_or_else(|| "nothing".to_owned(), |line| format!("{line:?}"));
    let (number, is, ought) = (same + 1, line(&found), line(text));
    panic!("{} is stale: line {number} is {is} and ought to be {ought}; rewrite it with `{BLESS}`", path.display());
}

fn completions(shell: Shell) -> String {
    String::from_utf8(mxr::cli::completions(shell)).unwrap()
}

fn root_command() -> clap::Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn man_pages() -> BTreeMap<String, String> {
    let root = root_command();
    let commands: Vec<_> = root.get_subcommands().cloned().collect();
    let pages = [root.clone()].into_iter().chain(commands);
    let page = |command: clap::Command| {
        let name = format!("{}.1", page_name(&command));
        let text = dated(&name, |date| man_page(command.clone(), &root, date));
        (name, text)
    };
    pages.map(page).collect()
}

/// A man page with the date of the committed one, or with today's if its text has changed.
fn dated(name: &str, page: impl Fn(&str) -> String) -> String {
    let found = fs::read_to_string(root().join("man").join(name)).unwrap_or_default();
    let date = found.lines().find_map(|line| line.strip_prefix(".TH ")?.split(' ').nth(2));
    let text = page(date.unwrap_or("1970-01-01"));
    if text != found && is_blessed() { page(output_of(Command::new("date").args(["-u", "+%F"])).trim()) } else { text }
}

fn page_name(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn man_page(mut command: clap::Command, root: &clap::Command, date: &str) -> String {
    let is_root = command.get_name() == root.get_name();
    let (name, source) = (page_name(&command), format!("mxr {}", env!("CARGO_PKG_VERSION")));
    let man = Man::new(command.clone()).date(date).source(source).manual("mxr manual");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    page.extend(synopsis(&mut command).to_roff().into_bytes());
    man.render_description_section(&mut page).unwrap();
    if is_root {
        man.render_subcommands_section(&mut page).unwrap();
    }
    man.render_options_section(&mut page).unwrap();
    let mut rest = Roff::new();
    if is_root {
        paragraphs(&root.get_after_long_help().unwrap().to_string(), &mut rest);
    }
    environment(&command, &mut rest);
    exit_status(&mut rest);
    see_also(&name, root, &mut rest);
    page.extend(rest.render().into_bytes());
    // Every section is rendered as a separate document; the preamble about apostrophes is needed only once.
    let (page, preamble) = (String::from_utf8(page).unwrap(), Roff::new().render());
    // mandoc warns of line breaks around an empty line before possible values, and of a backslash written as `\\`.
    wrapped(&(preamble.clone() + &page.replace(&preamble, "").replace(".br\n\n.br\n", ".sp\n").replace(r"\\", r"\e")))
}

/// Running text in lines of 80 characters, as mandoc wants them; a line that begins with a dot or an apostrophe is a request.
fn wrapped(page: &str) -> String {
    let mut is_filled = true;
    let mut lines: Vec<String> = Vec::new();
    for line in page.lines() {
        is_filled = line != ".nf" && (is_filled || line == ".fi");
        if !is_filled || line.starts_with(['.', '\'']) {
            // A title is in capitals.
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            lines.push(match words[..] {
                [".TH", title, rest] => format!(".TH {} {rest}", title.to_uppercase()),
                _ => line.to_owned(),
            });
            continue;
        }
        lines.push(String::new());
        for word in line.split(' ') {
            match lines.last_mut() {
                Some(last) if last.is_empty() => *last = word.to_owned(),
                Some(last) if last.len() + word.len() >= 80 && !word.starts_with(['.', '\'']) => lines.push(word.to_owned()),
                Some(last) => *last += &format!(" {word}"),
                None => {}
            }
        }
    }
    lines.join("\n") + "\n"
}

fn synopsis(command: &mut clap::Command) -> Roff {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let rest = usage.strip_prefix(&name).expect("the usage begins with the command").to_owned();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([bold(name), roman(rest)]);
    roff
}

/// The paragraphs after the help, each with a heading and lines of two columns.
fn paragraphs(text: &str, roff: &mut Roff) {
    let lists = text.split("\n\n").filter_map(|paragraph| paragraph.split_once(":\n"));
    for (heading, list) in lists {
        roff.control("SH", [heading.to_uppercase().as_str()]);
        let mut is_listed = false;
        for line in list.lines() {
            match line.trim_start().split_once("  ") {
                Some((term, said)) => {
                    roff.control("TP", []).text([bold(term)]).text([roman(said.trim_start())]);
                    is_listed = true;
                }
                None if is_listed && !line.starts_with("   ") => {
                    roff.control("PP", []).text([roman(line.trim_start())]);
                    is_listed = false;
                }
                None => {
                    // The keys of a query are a separate list.
                    if line.trim_start().starts_with('?') {
                        roff.control("br", []);
                    }
                    roff.text([roman(line.trim_start())]);
                }
            }
        }
    }
}

fn environment(command: &clap::Command, roff: &mut Roff) {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let variables: Vec<_> = shown.filter_map(|arg| Some((arg.get_env()?.to_str()?, arg))).collect();
    roff.control("SH", ["ENVIRONMENT"]);
    if variables.is_empty() {
        roff.text([roman("Every option of a command has an environment variable, which the man page of the command names.")]);
        roff.text([roman("Options on the command line override the environment.")]);
        roff.control("TP", []).text([bold("NO_COLOR")]).text([roman("Log lines on a terminal have no colours.")]);
        roff.control("TP", []).text([bold("SSH_CONNECTION"), roman(", "), bold("SSH_TTY")]);
        roff.text([roman("If either is set, no browser is opened.")]);
        return;
    }
    roff.text([roman("Options on the command line override the environment.")]);
    roff.text([roman("A switch is off if its variable is empty, 0, no, off or false, and on if it is 1, yes, on or true.")]);
    for (name, arg) in variables {
        let long = format!("--{}", arg.get_long().expect("what has a variable has a long name"));
        roff.control("TP", []).text([bold(name)]);
        let more = match (arg.get_value_delimiter(), arg.get_action()) {
            (Some(_), _) => ", several separated by commas",
            (_, ArgAction::Count) => ", repeated as often as the number says",
            _ => "",
        };
        roff.text([roman("as "), bold(long), roman(more)]);
    }
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        roff.control("TP", []).text([bold((code as u8).to_string())]).text([roman(meaning)]);
    }
}

fn see_also(name: &str, root: &clap::Command, roff: &mut Roff) {
    let pages = [page_name(root)].into_iter().chain(root.get_subcommands().map(page_name));
    let others: Vec<_> = pages.filter(|page| page != name).collect();
    roff.control("SH", ["SEE ALSO"]);
    for (index, page) in others.iter().enumerate() {
        let end = if index + 1 == others.len() { "(1)" } else { "(1)," };
        roff.text([italic(page.as_str()), roman(end)]);
    }
}
