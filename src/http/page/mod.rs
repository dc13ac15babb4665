//! The viewer page: assembled once from its sources beside this file, stamped with a fresh nonce for each reply.

use std::sync::LazyLock;

use rand::Rng;

const SCRIPTS: &[&str] = &[
    include_str!("words.js"),
    include_str!("split.js"),
    include_str!("sgr.js"),
    include_str!("json.js"),
    include_str!("log.js"),
    include_str!("picture.js"),
    include_str!("show.js"),
    include_str!("feed.js"),
    include_str!("link.js"),
    include_str!("page.js"),
];

/// The scripts are modules for their tests and one script in the page: imports and exports stand on lines of their own, as
/// comments do. What is for readers of the source alone stays here, since phones on slow links load the page, too.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let for_readers = |line: &str| line.is_empty() || ["import ", "export ", "//"].iter().any(|start| line.starts_with(start));
    let lines = SCRIPTS.iter().flat_map(|script| script.lines()).map(str::trim_start);
    let script: Vec<String> = lines.filter(|line| !for_readers(line)).map(squeeze).collect();
    let script = BRACKETS.iter().fold(script.join("\n"), |script, (broken, whole)| script.replace(broken, whole));
    let joined = |text: &str| text.lines().collect::<String>();
    joined(include_str!("page.html")).replace("{{css}}", &joined(include_str!("page.css"))).replace("{{js}}", &script)
});

/// Where a line's end means nothing to a script. No template and no regular expression goes over one.
const BRACKETS: &[(&str, &str)] =
    &[("{\n", "{"), ("(\n", "("), ("[\n", "["), (",\n", ","), ("\n}", "}"), ("\n)", ")"), ("\n]", "]")];

/// The line without the blanks beside a sign, lest two of `+` and `-` meet. Strings, templates and regular expressions are left as
/// they are; where one may hold its own sign, what is behind it, too. A slash with a blank behind it divides.
fn squeeze(line: &str) -> String {
    let begins = |(at, sign): &(usize, &str)| *sign != "/" || !line[at + 1..].starts_with(' ');
    let Some((at, sign)) = line.match_indices(['\'', '"', '`', '/']).find(begins) else { return without_idle_blanks(line) };
    let (code, literal) = line.split_at(at);
    let end = literal[1..].find(sign).map_or(literal.len(), |end| end + 2);
    let end = match sign {
        "`" if literal.matches('`').count() > 2 => literal.len(),
        "/" if literal[..end].contains(['[', '\\']) => literal.len(),
        _ => end,
    };
    without_idle_blanks(code) + &literal[..end] + &squeeze(&literal[end..])
}

fn without_idle_blanks(code: &str) -> String {
    let is_sign = |byte: &u8| byte.is_ascii_punctuation() && !b"_$".contains(byte);
    let bytes = code.as_bytes();
    let is_idle = |at: usize| {
        let beside = [bytes[..at].last(), bytes.get(at + 1)];
        let they_add = beside.iter().all(|byte| matches!(byte, Some(b'+' | b'-')));
        bytes[at] == b' ' && !they_add && beside.into_iter().flatten().any(is_sign)
    };
    code.char_indices().filter(|(at, _)| !is_idle(*at)).map(|(_, letter)| letter).collect()
}

/// The page and the policy that goes with it: its own script runs, nothing else does, nothing is loaded from elsewhere.
pub(super) fn page() -> (String, String) {
    let nonce = format!("{:032x}", rand::rng().random::<u128>());
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src 'self' blob: data:; \
         media-src blob: data:; connect-src 'self'; frame-src blob: data:; object-src blob:; base-uri 'none'; form-action 'none'"
    );
    (PAGE.replace("{{nonce}}", &nonce), policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_under_30_kb() {
        let (page, _) = page();
        assert!(page.len() < 30_000, "{} bytes", page.len());
        for elsewhere in ["http:", "https:", " src=", "@import", "url("] {
            let own = page.replace("http://www.w3.org/2000/svg", "").replace(" src=\"${", "");
            assert!(!own.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn blanks_go_where_they_mean_nothing() {
        assert_eq!(squeeze("const a = { b: 1, c }, d = x => x ?? 2"), "const a={b:1,c},d=x=>x??2");
        assert_eq!(squeeze("return a + +b - -c++ + d - e"), "return a+ +b- -c++ +d-e");
        assert_eq!(squeeze("say(node, 'a = b, c', 'd : e')"), "say(node,'a = b, c','d : e')");
        assert_eq!(squeeze("return 'a' + ' = / = '"), "return 'a'+' = / = '");
        assert_eq!(squeeze("x = `${a} = b` + c, d = /= / + e"), "x=`${a} = b`+c,d=/= /+e");
        assert_eq!(squeeze("x = /[ /]/.test(a) || b"), "x=/[ /]/.test(a) || b");
        assert_eq!(squeeze("x = `${a ? `b = ` : ''} c` + d"), "x=`${a ? `b = ` : ''} c` + d");
        assert_eq!(squeeze("a = b / (c + 2) / 3 - /= /.exec(d)"), "a=b/(c+2)/3-/= /.exec(d)");
    }
}
