//! Environment variables in the values of a file: `${NAME}`; `$${` stands for `${` itself. What came from a variable may be a secret,
//! so messages show its name instead. Nothing else of a shell's syntax is known here: `$HOME` and `$$` stay as they are.

use std::{cell::RefCell, env};

/// The variables that a file uses.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    /// Their values and names.
    used: RefCell<Vec<(String, String)>>,
}

impl Variables {
    /// The text with the values of its variables.
    ///
    /// # Errors
    /// The reason, which names the variable, and shows no value.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        self.expand_with(text, |name| env::var(name))
    }

    fn expand_with(&self, text: &str, value: impl Fn(&str) -> Result<String, env::VarError>) -> Result<String, String> {
        let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, behind)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                expanded.extend([before, "${"]);
                rest = behind;
                continue;
            }
            let (name, after) = behind.split_once('}').ok_or("a '${' has no '}' behind it; '$${' stands for '${' itself")?;
            if !is_name(name) {
                return Err(format!("'${{{name}}}' names no variable; '$${{' stands for '${{' itself"));
            }
            let value = value(name).map_err(|why| match why {
                env::VarError::NotPresent => format!("the environment variable {name} is not set"),
                env::VarError::NotUnicode(_) => format!("the environment variable {name} is not in UTF-8"),
            })?;
            expanded.extend([before, &value]);
            self.used.borrow_mut().push((value, name.to_owned()));
            rest = after;
        }
        Ok(expanded + rest)
    }

    /// The text with each value replaced by the variable from which it came.
    pub(super) fn hide_values(&self, text: &str) -> String {
        let mut values = self.used.borrow().clone();
        values.retain(|(value, _)| !value.is_empty());
        // A message may quote a value.
        let quoted = values.iter().map(|(value, name)| (value.escape_debug().to_string(), name.clone()));
        values = quoted.chain(values.iter().cloned()).collect();
        // The longest first: one may be the beginning of another.
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(letter) = rest.chars().next() {
            if let Some((value, name)) = values.iter().find(|(value, _)| rest.starts_with(value.as_str())) {
                shown.extend(["${", name, "}"]);
                rest = &rest[value.len()..];
            } else {
                shown.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        shown
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_letter) && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Result<String, env::VarError> {
        match name {
            "PW" => Ok("p\"a${X}".to_owned()),
            "EMPTY" => Ok(String::new()),
            _ => Err(env::VarError::NotPresent),
        }
    }

    #[test]
    fn a_variable_is_replaced_once_and_everything_else_stays() {
        let variables = Variables::default();
        for (text, expanded) in [
            ("", ""),
            ("http://u:${PW}@h/${EMPTY}x", "http://u:p\"a${X}@h/x"),
            ("$HOME $$ $ } {", "$HOME $$ $ } {"),
            ("$${PW}", "${PW}"),
            ("$${PW}${EMPTY}", "${PW}"),
        ] {
            assert_eq!(variables.expand_with(text, value).as_deref(), Ok(expanded), "{text}");
        }
        for (text, named) in [("${NO}", "variable NO is not set"), ("${PW", "no '}'"), ("${}", "names no"), ("${a:-b}", "${a:-b}")]
        {
            let why = variables.expand_with(text, value).unwrap_err();
            assert!(why.contains(named), "{text}: {why}");
        }
    }

    #[test]
    fn a_message_shows_the_name_of_a_variable_and_not_its_value() {
        let variables = Variables::default();
        variables.expand_with("${PW}${EMPTY}", value).unwrap();
        assert_eq!(variables.hide_values("a p\"a${X} and \"p\\\"a${X}\" of it"), "a ${PW} and \"${PW}\" of it");
    }
}
