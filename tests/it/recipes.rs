//! The recipes for a hub, in README.md and docs/hub.md: the text of the document is what is run, with its addresses where the network
//! is a test's own, else with those of the test.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Connection, Folder, GREEN, Nginx, RED, Server, jpeg, mxr, png, printed_by, python, root, share, skip, tool};

/// The token of the examples.
const TOKEN: &str = "PushTokenOfSixteen";
/// The hub of the examples.
const HUB: &str = "http://localhost:8080";

/// The block of this language below a heading of a document; without a heading the first.
fn block(document: &str, heading: &str, language: &str) -> String {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let (_, text) = text.split_once(heading).unwrap_or_else(|| panic!("{document} has no {heading:?}"));
    let (_, text) =
        text.split_once(&format!("\n```{language}\n")).unwrap_or_else(|| panic!("nothing in {language} is below {heading:?}"));
    text.split_once("\n```\n").unwrap().0.to_owned()
}

fn of_hub(heading: &str, language: &str) -> String {
    block("docs/hub.md", &format!("\n### {heading}"), language)
}

fn hub() -> Server {
    mxr(["hub"]).args(["--push-token", TOKEN]).start()
}

/// Runs a recipe in Python, then these lines, and returns what it prints.
fn run_python(python: &Path, recipe: &str, lines: &str, hub: &str, token: &str) -> String {
    let mut command = Command::new(python);
    command.args(["-c", &format!("{}\n{lines}", recipe.replace(HUB, hub))]);
    // A proxy of the environment would be asked for the hub.
    command.env("NO_PROXY", "*").env("HUB_TOKEN", token).env("MPLBACKEND", "Agg");
    String::from_utf8(printed_by(&mut command)).unwrap()
}

/// A figure that is only as much of one as `savefig`: matplotlib takes half a gigabyte with what Debian installs beside it.
const STUB: &str = "
from PIL import Image
class Figure:
    def savefig(self, file, format): Image.new('RGB', (64, 48), (int(self.red), 0, 0)).save(file, format)
figure = Figure()
figure.red = 255
";
/// A figure of matplotlib itself.
const FIGURE: &str = "
from matplotlib import pyplot
figure, axes = pyplot.subplots()
axes.plot([1, 4, 2])
";

/// The libraries of the recipe: Python with a stub, and if it is there one with matplotlib itself.
fn pythons() -> Vec<(std::path::PathBuf, &'static str)> {
    let Some(stub) = python("PIL, requests") else { return Vec::new() };
    let real = Command::new("python3").args(["-c", "import matplotlib, requests"]).stderr(Stdio::null()).status();
    let real = real.is_ok_and(|status| status.success()).then(|| ("python3".into(), FIGURE));
    [(stub, STUB)].into_iter().chain(real).collect()
}

#[test]
fn a_figure_of_a_loop_is_shown_by_the_recipe_of_the_readme_and_a_refusal_is_printed() {
    let recipe = block("README.md", "A figure of matplotlib", "python");
    assert!(recipe.lines().count() == 5, "it is promised to be short");
    for (python, figure) in pythons() {
        let server = hub();
        let show = |token: &str| format!("{figure}\nfor step in range(3): show(figure, token={token:?})");
        let url = server.url("").trim_end_matches('/').to_owned();
        assert_eq!(run_python(&python, &recipe, &show(TOKEN), &url, ""), "");
        let shown = server.get("/snapshot/loss");
        assert_eq!((shown.head.status, shown.head.want("Content-Type")), (200, "image/png"));
        let refused = run_python(&python, &recipe, &show("wrong"), &url, "");
        assert!(refused.contains("mxr: that is not a token to push"), "{refused}");
        // On the same machine it needs no token.
        let open = mxr(["hub"]).start();
        let url = open.url("").trim_end_matches('/').to_owned();
        assert_eq!(run_python(&python, &recipe, &format!("{figure}\nshow(figure)"), &url, ""), "");
        assert_eq!(open.get("/snapshot/loss").head.status, 200);
    }
}

#[test]
fn a_training_goes_on_without_its_hub_by_the_recipe() {
    let recipe = of_hub("A figure of matplotlib", "python");
    for (python, figure) in pythons() {
        let server = hub();
        let url = server.url("").trim_end_matches('/').to_owned();
        let lines = format!("{figure}\nfor step in range(2): show(figure)\nprint('trained')");
        assert_eq!(run_python(&python, &recipe, &lines, &url, TOKEN), "trained\n");
        assert_eq!(server.get("/snapshot/loss").head.want("Content-Type"), "image/png");
        let refused = run_python(&python, &recipe, &lines, &url, "");
        assert!(refused.contains("mxr: a token is needed to push") && refused.ends_with("trained\n"), "{refused}");
        server.stop();
        let alone = run_python(&python, &recipe, &lines, &url, TOKEN);
        assert!(alone.contains("not shown: ") && alone.ends_with("trained\n"), "{alone}");
    }
}

#[test]
fn a_microcontroller_needs_no_more_than_the_request_of_the_recipe() {
    let server = hub();
    let recipe = of_hub("A microcontroller", "http").replace("TOKEN", TOKEN);
    for (colour, status) in [(RED, 201), (GREEN, 204)] {
        let picture = jpeg(colour);
        let head = recipe.replace("LENGTH", &picture.len().to_string()).replace('\n', "\r\n");
        let mut board = Connection::open(&server.host);
        board.send([head.as_bytes(), b"\r\n", &picture].concat());
        let reply = board.reply("POST");
        assert_eq!((reply.head.status, server.get("/snapshot/door").body), (status, picture));
        board.expect_end();
    }
    // The same by 1.1, picture after picture over one connection.
    let mut board = Connection::open(&server.host);
    for colour in [RED, GREEN, RED] {
        let picture = jpeg(colour);
        let head = recipe.replace("HTTP/1.0", "HTTP/1.1\nHost: hub").replace("LENGTH", &picture.len().to_string());
        board.send([head.replace('\n', "\r\n").as_bytes(), b"\r\n", &picture].concat());
        assert_eq!(board.reply("POST").head.status, 204);
        assert_eq!(server.get("/snapshot/door").body, picture);
    }
    let Some(_) = tool(&["curl"]) else { return };
    let folder = Folder::new();
    folder.put("frame.jpg", jpeg(GREEN));
    let url = server.url("").trim_end_matches('/').to_owned();
    let of_readme = block("README.md", "**What others push in**", "sh");
    let of_readme = of_readme.lines().find(|line| line.starts_with("curl -0 ")).unwrap().replace("/door", "/door?token=TOKEN");
    for recipe in [of_hub("A microcontroller", "sh"), of_readme] {
        let line = recipe.replace("http://hub:8080", &url).replace(HUB, &url).replace("TOKEN", TOKEN);
        push_with(&line, &folder);
        assert_eq!(server.get("/snapshot/door").body, jpeg(GREEN), "{line}");
        folder.put("frame.jpg", jpeg(RED));
        push_with(&line, &folder);
        assert_eq!(server.get("/snapshot/door").body, jpeg(RED), "{line}");
        folder.put("frame.jpg", jpeg(GREEN));
    }
}

/// Runs a line with curl, which prints nothing if it is not refused.
fn push_with(line: &str, folder: &Folder) {
    let printed = printed_by(Command::new("sh").args(["-c", line]).current_dir(folder.path()));
    assert_eq!(String::from_utf8(printed).unwrap(), "", "{line}");
}

/// Ten machines with the network of a fleet: m1 to m10 and the hub, each in a network and with a hostname of its own. On machine N
/// the line of the recipe is run that comes in turn. All of it is gone when the script ends.
const FLEET: &str = r#"
set -e
mount -t tmpfs tmpfs /run && mkdir /run/netns
ip netns add net && ip -n net link add lan type bridge && ip -n net link set lan up
printf '127.0.0.1 localhost\n10.0.0.254 hub\n' > hosts && mount --bind hosts /etc/hosts
join() {
  ip netns add "$1" && ip -n "$1" link set lo up
  ip link add "$1" netns net type veth peer name eth0 netns "$1"
  ip -n net link set "$1" master lan up
  ip -n "$1" addr add "$2/24" dev eth0 && ip -n "$1" link set eth0 up
}
state() { ip netns exec hub curl -s "http://127.0.0.1:8080/state?token=$(cat look-token)"; }
join hub 10.0.0.254
ip netns exec hub sh hub.sh > /dev/null &
until [ -f look-token ] && [ -n "$(state)" ]; do sleep 0.1; done
for n in 1 2 3 4 5 6 7 8 9 10; do
  join "m$n" "10.0.0.$n"
  mkdir "m$n" && cp plot.png push-token "m$n"
  sed -n "1p; $((2 + n % 3))p" fleet.sh > "m$n/start.sh"
  (cd "m$n" && ip netns exec "m$n" unshare -u sh -c "hostname m$n; . ./start.sh" > out 2>&1) &
done
for _ in $(seq 300); do
  if [ "$(state | grep -o '"state":"live"' | wc -l)" -ge 10 ]; then state; exit; fi
  sleep 0.1
done
cat m*/out >&2
exit 1
"#;

#[test]
fn ten_machines_publish_to_one_hub_by_the_recipe() {
    for program in ["unshare", "ip", "curl", "openssl", "hostname"] {
        let Some(_) = tool(&[program]) else { return };
    }
    let alone = ["-rmn", "-pf", "--mount-proc", "--kill-child"];
    if !Command::new("unshare").args(alone).arg("true").stderr(Stdio::null()).status().unwrap().success() {
        return skip("no leave to make a network");
    }
    let folder = Folder::new();
    folder.put("hub.sh", of_hub("A hub for other machines", "sh"));
    folder.put("fleet.sh", of_hub("A fleet", "sh"));
    folder.put("plot.png", png(RED));
    let bin = folder.file("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_mxr"), bin.join("mxr")).unwrap();
    fs::write(bin.join("journalctl"), "#!/bin/sh\nhostname\nexec sleep 600\n").unwrap();
    fs::set_permissions(bin.join("journalctl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}:/usr/sbin", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("unshare");
    command.args(alone).args(["sh", "-c", FLEET]).current_dir(folder.path()).env("PATH", path).env("no_proxy", "*");
    share();
    let state: Value = serde_json::from_slice(&printed_by(&mut command)).unwrap();
    let mut feeds: Vec<(&str, &str)> = state["feeds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|feed| (feed["name"].as_str().unwrap(), feed["kind"].as_str().unwrap()))
        .collect();
    feeds.sort_unstable();
    let names: Vec<&str> = feeds.iter().map(|(name, _)| *name).collect();
    let wanted =
        ["m1/load", "m10/load", "m2/journal", "m3/plot", "m4/load", "m5/journal", "m6/plot", "m7/load", "m8/journal", "m9/plot"];
    assert_eq!(names, wanted, "{state}");
    assert!(feeds.iter().all(|(name, kind)| name.ends_with("journal") == (*kind == "lines")), "{feeds:?}");
}

#[test]
fn behind_nginx_viewers_need_the_password_and_pushers_the_token_by_the_recipe() {
    let folder = Folder::new();
    folder.put("users", "ann:secret\n");
    folder.put("push-token", TOKEN);
    let commands = of_hub("Behind nginx", "sh");
    let command = commands.lines().find(|line| line.starts_with("mxr hub ")).unwrap();
    let server = mxr(command.split(' ').skip(1)).current_dir(&folder.path()).start();
    let config = of_hub("Behind nginx", "nginx");
    let location = &config[config.find("location").unwrap()..config.rfind('}').unwrap()];
    let Some(nginx) = Nginx::start(&location.replace("127.0.0.1:8080", &server.host)) else { return };
    let picture = png(RED);
    let ask = |method: &str, lines: &str, body: &[u8]| {
        let mut connection = Connection::open(&nginx.host);
        let head =
            format!("{method} /snapshot/plot.png HTTP/1.1\r\nHost: hub.example\r\nContent-Length: {}\r\n{lines}\r\n", body.len());
        connection.send([head.as_bytes(), body].concat());
        connection.reply(method).head.status
    };
    // ann:secret
    let ann = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    let pusher = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!((ask("PUT", "", &picture), ask("PUT", ann, &picture), ask("PUT", &pusher, &picture)), (401, 401, 201));
    assert_eq!((ask("GET", "", b""), ask("GET", &pusher, b""), ask("GET", ann, b"")), (401, 401, 200));
}

#[test]
fn the_service_of_the_recipe_is_a_valid_unit() {
    let Some(analyze) = tool(&["systemd-analyze"]) else { return };
    let here = |unit: &str| unit.replace("/usr/local/bin/mxr", env!("CARGO_BIN_EXE_mxr"));
    let folder = Folder::new();
    folder.put("mxr.service", here(&fs::read_to_string(root().join("contrib/mxr.service")).unwrap()));
    fs::create_dir(folder.file("mxr.service.d")).unwrap();
    let beside = of_hub("As a service", "ini");
    fs::write(folder.file("mxr.service.d/hub.conf"), here(&beside)).unwrap();
    let output = Command::new(analyze).args(["verify", "--man=no"]).arg(folder.file("mxr.service")).output().unwrap();
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.contains("hub.conf") && !output.contains("mxr.service"), "{output}");
    // Its options are those of the program, which refuses others before it listens.
    let start = beside.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/mxr ")).unwrap();
    let server = mxr(start.split(' ')).env("MXR_TOKEN", "LookTokenOf16abc").env("MXR_PUSH_TOKEN", TOKEN).spawn().listening();
    server.terminate();
    server.finish().success();
}
