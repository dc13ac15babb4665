//! A page of another site pushes nothing into a hub, whatever it tries: the matrix of origins, methods, types and elements, in browsers.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::support::{A_WHILE, Browser, Connection, Kind, RED, SOON, Server, mxr, png, wait_for, wait_until};

/// Tries everything against hubs of these URLs: feeds that would come of it begin with `tag`, and the feed `kept` would go. Returns how
/// many replies a script has seen, and those statuses that are no refusal.
const ATTACK: &str = r#"const attack = async (tag, bases) => {
  const replies = [], never = promise => replies.push(promise.then(reply => reply.status, () => 0));
  let number = 0;
  const target = base => `${base}/${number % 2 ? 'stream' : 'snapshot'}/${tag}-${number++}`;
  const form = () => { const data = new FormData(); data.append('a', 'one\n'); return data; };
  const bodies = () => ['one\n', new Blob(['one\n'], {type: 'text/plain'}), new Blob(['\x89PNG\r\n'], {type: 'image/png'}),
    new Blob(['one\n']), new URLSearchParams('a=b'), form()];
  const add = (name, fields) => document.body.append(Object.assign(document.createElement(name), fields));
  const types = ['', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x',
    'multipart/x-mixed-replace; boundary=x', 'image/png', 'application/json'];
  for (const base of bases) {
    for (const mode of ['cors', 'no-cors', 'same-origin'])
      for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH'])
        for (const type of ['POST', 'PUT', 'DELETE'].includes(method) ? types : ['']) {
          const url = method == 'DELETE' ? `${base}/stream/kept` : target(base);
          const body = ['GET', 'HEAD'].includes(method) ? undefined : 'one\n';
          never((async () => fetch(url, {method, mode, body, credentials: 'include', headers: type ? {'Content-Type': type} : {}}))());
        }
    for (const body of bodies()) {
      never((async () => fetch(target(base), {method: 'POST', mode: 'no-cors', body, keepalive: true}))());
      try { navigator.sendBeacon(target(base), body); } catch {}
    }
    for (const method of ['POST', 'PUT', 'DELETE'])
      for (const type of ['', 'text/plain', 'image/png'])
        never(new Promise(done => {
          const request = new XMLHttpRequest();
          request.onloadend = () => done(request);
          request.open(method, method == 'DELETE' ? `${base}/stream/kept` : target(base));
          if (type) request.setRequestHeader('Content-Type', type);
          request.withCredentials = true;
          request.send('one\n');
        }));
    for (const method of ['get', 'post'])
      for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
        const name = `${tag}${number}`;
        add('iframe', {name});
        const sent = Object.assign(document.createElement('form'), {method, enctype, action: target(base), target: name});
        sent.innerHTML = '<input name=a value=b><input type=file name=c>';
        document.body.append(sent);
        sent.submit();
      }
    for (const name of ['img', 'script', 'video', 'iframe', 'embed']) add(name, {src: target(base)});
    add('object', {data: target(base)});
    add('link', {rel: 'stylesheet', href: target(base)});
    add('iframe', {name: `${tag}ping`});
    add('a', {ping: target(base), href: 'about:blank', target: `${tag}ping`});
    document.querySelector('a:last-of-type').click();
    try { new EventSource(target(base)); } catch {}
    try { new WebSocket(target(base).replace('http', 'ws')); } catch {}
  }
  const all = await Promise.all(replies);
  return `${all.length} ${all.filter(status => ![0, 403, 404, 405].includes(status)).join()}`;
};"#;

/// A server of a page, which passes every other request on to the hub: under the name rebound.test the hub sees of it what it sees after
/// DNS rebinding. Returns its port, and what the page says at the end. Its thread ends with the test process.
fn site(hub: &Server, html: &str) -> (u16, Arc<Mutex<Option<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, host) = (listener.local_addr().unwrap().port(), hub.host.clone());
    // A browser posts what violates this policy.
    let policy = format!("Content-Security-Policy-Report-Only: img-src 'none'; report-uri {}", hub.url("/stream/report"));
    let length = html.len();
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{policy}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{html}"
    );
    let said = Arc::<Mutex<Option<String>>>::default();
    let saying = said.clone();
    thread::spawn(move || {
        for browser in listener.incoming() {
            let (mut browser, host, page, said) = (browser.unwrap(), host.clone(), page.clone(), saying.clone());
            thread::spawn(move || {
                let mut first = vec![0; 1 << 16];
                let count = browser.read(&mut first).unwrap_or_default();
                let head = String::from_utf8_lossy(&first[..count]);
                match head.split(' ').nth(1) {
                    Some("/") => drop(browser.write_all(page.as_bytes())),
                    Some(path) if path.starts_with("/said/") => *said.lock().unwrap() = Some(path["/said/".len()..].to_owned()),
                    _ => pass_on(&browser, &first[..count], &host),
                }
            });
        }
    });
    (port, said)
}

fn pass_on(browser: &TcpStream, first: &[u8], host: &str) {
    // It may have ended by now.
    let Ok(hub) = &TcpStream::connect(host) else { return };
    // Behind each reply a new connection: the next request may be for the page.
    let (line, rest) = first.split_at(first.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    let _ = { hub }.write_all(&[line, b"Connection: close\r\n", rest].concat());
    thread::scope(|scope| {
        let copy = |mut from: &TcpStream, mut to: &TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        };
        scope.spawn(move || copy(browser, hub));
        copy(hub, browser);
    });
}

/// A hub with a feed that a page could remove, and how it is in `/state`.
fn hub() -> (Server, Value) {
    let server = mxr(["hub", "--allow-origin", "*"]).start();
    let body = png(RED);
    let mut connection = Connection::open(&server.host);
    let length = body.len();
    connection.send(format!("PUT /snapshot/kept HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n", server.host));
    connection.send(&body);
    assert_eq!(connection.reply("PUT").head.status, 201);
    let feeds = published(&server);
    (server, feeds)
}

/// Each feed with the number of its parts.
fn published(server: &Server) -> Value {
    let state = server.state();
    state["feeds"].as_array().unwrap().iter().map(|feed| json!([feed["name"], feed["published"]])).collect()
}

/// A page that tries everything, also from frames: with an origin of its own (`null`), once more by `data:`, and with that of the page
/// by `blob:`.
fn page(server: &Server) -> String {
    let bases = json!([server.url(""), format!("http://localhost:{}", server.port())]);
    format!(
        "<!doctype html><meta charset=utf-8><title>tries</title><body><script>{ATTACK}
         const bases = {bases}, said = [];
         if (location.hostname == 'rebound.test') bases.push(location.origin);
         const code = tag => `<!doctype html><body><script>const attack = ${{attack}};
           attack('${{tag}}', ${{JSON.stringify(bases)}}).then(text => parent.postMessage(text, '*'));<\\/script>`;
         const frame = fields => document.body.append(Object.assign(document.createElement('iframe'), fields));
         onmessage = event => said.push(event.data);
         document.addEventListener('start', async () => {{
           said.push(await attack('page', bases));
           frame({{sandbox: 'allow-scripts allow-forms', srcdoc: code('sandbox')}});
           frame({{src: 'data:text/html,' + encodeURIComponent(code('data'))}});
           frame({{src: URL.createObjectURL(new Blob([code('blob')], {{type: 'text/html'}}))}});
           while (said.length < 4) await new Promise(done => setTimeout(done, 50));
           fetch('/said/' + said.join('/').replaceAll(' ', ':'));
         }});</script>"
    )
}

#[track_caller]
fn expect_nothing_pushed(kind: Kind, name: &str) {
    // Firefox may not go on from a page whose frames still fail to load.
    let Some(browser) = Browser::start(kind) else { return };
    let (server, before) = hub();
    let (port, said) = site(&server, &page(&server));
    browser.go(&format!("http://{name}:{port}/"));
    browser.run("document.dispatchEvent(new Event('start'))", json!([]));
    // A busy browser answers no driver.
    let said = wait_for("it has tried", SOON * 12, || said.lock().unwrap().clone());
    // In each frame so many replies, and no other statuses.
    let counts: Vec<_> = said.split('/').map(|frame| frame.strip_suffix(':').and_then(|count| count.parse::<u32>().ok())).collect();
    assert!(counts.len() == 4 && counts.iter().all(|count| count.is_some_and(|count| count >= 174)), "{kind:?} {name}: {said}");
    thread::sleep(A_WHILE);
    assert_eq!(published(&server), before, "{kind:?} {name}");
}

#[test]
fn a_page_of_another_site_pushes_nothing_into_a_hub_whatever_it_tries() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        expect_nothing_pushed(kind, "localhost");
    }
}

#[test]
fn a_page_of_another_port_pushes_nothing_into_a_hub_whatever_it_tries() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        expect_nothing_pushed(kind, "127.0.0.1");
    }
}

#[test]
fn a_page_that_has_rebound_its_name_pushes_nothing_into_a_hub_whatever_it_tries() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        expect_nothing_pushed(kind, "rebound.test");
    }
}

#[test]
fn a_form_that_leads_to_a_hub_is_refused_there() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let (server, before) = hub();
        let (port, _) = site(&server, "<!doctype html><title>form</title>");
        for enctype in ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"] {
            browser.go(&format!("http://127.0.0.1:{port}/"));
            let submit = "const form = document.createElement('form');
                Object.assign(form, {method: 'post', enctype: arguments[1], action: arguments[0]});
                form.innerHTML = '<input name=a value=b>'; document.documentElement.append(form); form.submit();";
            browser.run(submit, json!([server.url("/stream/top"), enctype]));
            wait_until("it leads to the refusal", SOON, || browser.text().contains("another site may not push"));
        }
        assert_eq!(published(&server), before, "{kind:?}");
    }
}

#[test]
fn a_page_that_was_pushed_into_a_hub_pushes_nothing_and_a_script_of_the_hub_s_own_origin_may() {
    for kind in [Kind::Chromium, Kind::Firefox] {
        let Some(browser) = Browser::start(kind) else { continue };
        let server = mxr(["hub"]).start();
        let html = format!(
            "<!doctype html><title>tries</title><body><p>shown</p><script>{ATTACK}
             attack('page', [location.origin, '{}']).then(text => document.title = text);</script>",
            server.url("")
        );
        let mut connection = Connection::open(&server.host);
        let (host, length) = (&server.host, html.len());
        connection.send(format!(
            "PUT /snapshot/page.html HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{html}"
        ));
        assert_eq!(connection.reply("PUT").head.status, 201);
        let before = published(&server);
        for path in ["/snapshot/page.html", "/view"] {
            browser.go(&server.url(path));
            wait_until("it is shown", SOON, || browser.text().contains("shown"));
            thread::sleep(A_WHILE);
            assert_eq!(published(&server), before, "{kind:?} {path}");
        }
        // The hub's own page: the browser says that it is no other site. (Scripts of Firefox's driver have no origin.)
        if kind == Kind::Chromium {
            browser.run("fetch('/snapshot/own.txt', {method: 'PUT', body: 'x'})", json!([]));
            wait_until("it is pushed", SOON, || server.get("/snapshot/own.txt").body == b"x");
        }
    }
}

#[test]
fn a_hub_refuses_what_comes_under_a_name_that_is_not_its_own_by_every_method() {
    let (server, before) = hub();
    for method in ["PUT", "POST", "DELETE", "GET", "HEAD", "PATCH", "OPTIONS"] {
        for path in ["/snapshot/kept", "/stream/kept", "/streams", "/snapshot/new"] {
            // As after DNS rebinding: the browser takes it for the same origin.
            let (host, port) = ("rebound.test", server.port());
            let mut connection = Connection::open(&server.host);
            connection.send(format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: http://{host}:{port}\r\nSec-Fetch-Site: same-origin\r\n\
                 Content-Type: text/plain\r\nContent-Length: 4\r\n\r\none\n"
            ));
            let reply = connection.reply(method);
            let is_refused =
                matches!(reply.head.status, 403 | 421) || reply.head.status == 405 && ["PATCH", "OPTIONS"].contains(&method);
            assert!(is_refused, "{method} {path}: {}", reply.head.status);
        }
    }
    assert_eq!(published(&server), before);
}
