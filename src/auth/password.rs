//! Users and their passwords: `USER:PASSWORD` in plain text, or bcrypt and argon2 hashes of an htpasswd file. It compares in
//! constant time; it knows nothing of requests.

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{Arc, Once},
    thread,
};

use argon2::{
    Argon2, Params,
    password_hash::{PasswordVerifier, phc::PasswordHash},
};
use bcrypt::HashParts;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::oneshot;
use tracing::warn;

use super::throttle::{LoginThrottle, TooMany};
use crate::sync::Mutex;

/// The most expensive hashes accepted: they cost two or three seconds of a core for each wrong guess, and RFC 9106 (section 4)
/// recommends argon2 with 2 GiB for one pass.
const BCRYPT_COST: u32 = 15;
/// Bytes of a password that bcrypt compares.
const BCRYPT_BYTES: usize = 72;
const ARGON2_KIB: u64 = 2 << 20;
const ARGON2_KIB_IN_ALL_PASSES: u64 = 4 << 20;

/// The users and their passwords.
#[derive(Default)]
pub struct Passwords {
    users: Vec<Arc<User>>,
}

/// Whether the peer that guesses waits for no answer any more, so that the work can be saved.
pub(crate) type HasLeft<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// Why a guess was not hashed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotHashed {
    /// Its peer has left when its turn has come.
    PeerLeft,
    /// Its turn did not come in time.
    TooMany(TooMany),
}

/// The turns of one source to hash.
pub(super) struct HashTurns<'a> {
    pub(super) throttle: &'a LoginThrottle,
    pub(super) address: Option<IpAddr>,
    pub(super) has_left: HasLeft<'a>,
}

struct User {
    name: String,
    secret: Secret,
    /// A password that the hash has confirmed: a camera program asks several times a second.
    confirmed: Mutex<Option<String>>,
}

enum Secret {
    Plain(String),
    Bcrypt(String),
    Argon2(String),
}

impl Passwords {
    /// Reads lines `USER:PASSWORD` or `USER:HASH`; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// The number of the line that cannot be used, from 1, and why. The line itself is a secret.
    pub fn read(text: &str) -> Result<Self, (usize, &'static str)> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end_matches('\r')));
        let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let mut passwords = Self::default();
        for (at, line) in lines {
            if split(line).is_ok_and(|(_, secret)| may_be_hash(secret)) {
                warn!(line = at, hint = "htpasswd -B writes hashes that are known here", "taken as a password in plain text");
            }
            User::read(line).and_then(|user| passwords.add(Arc::new(user))).map_err(|why| (at, why))?;
        }
        Ok(passwords)
    }

    /// Reads `USER:PASSWORD`, as typed.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn typed(pair: &str) -> Result<Self, &'static str> {
        // A password that begins like a hash is a password: hashes are not typed.
        let (name, password) = split(pair)?;
        let mut passwords = Self::default();
        passwords.add(Arc::new(User::new(name, Secret::Plain(password.to_owned()))))?;
        Ok(passwords)
    }

    /// Adds the users of `others`.
    ///
    /// # Errors
    /// If a user is in both: one of the passwords would silently not work.
    pub fn join(&mut self, others: Self) -> Result<(), &'static str> {
        others.users.into_iter().try_for_each(|user| self.add(user))
    }

    fn add(&mut self, user: Arc<User>) -> Result<(), &'static str> {
        if self.users.iter().any(|other| other.name == user.name) {
            return Err("that user has a password already");
        }
        self.users.push(user);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether guesses cost a hash.
    pub(super) fn are_hashed(&self) -> bool {
        self.users.iter().any(|user| user.is_hashed())
    }

    /// Every password that is known in plain text.
    pub(super) fn in_plain(&self) -> impl Iterator<Item = String> {
        self.users.iter().filter_map(|user| match &user.secret {
            Secret::Plain(plain) => Some(plain.clone()),
            _ => user.confirmed.lock().clone(),
        })
    }

    /// Whether this is the password of this user. Only one that has to be hashed waits for its turn.
    ///
    /// # Errors
    /// If the guess was not hashed.
    pub(super) async fn confirm(&self, name: &str, password: &str, turns: &HashTurns<'_>) -> Result<bool, NotHashed> {
        let named = self.users.iter().find(|user| bool::from(same(&user.name, name)));
        // An unknown name costs as much time as a known one.
        let stranger = || self.users.iter().find(|user| user.is_hashed());
        match named.or_else(stranger) {
            Some(user) => Ok(user.confirm(password, turns).await? && named.is_some()),
            None => Ok(false),
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passwords", self.users.len())
    }
}

impl User {
    fn new(name: &str, secret: Secret) -> Self {
        Self { name: name.to_owned(), secret, confirmed: Mutex::default() }
    }

    fn read(line: &str) -> Result<Self, &'static str> {
        let (name, secret) = split(line)?;
        let secret = match secret {
            hash if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|kind| hash.starts_with(kind)) => {
                let parts = HashParts::from_str(hash).map_err(|_| "it is not a whole bcrypt hash")?;
                if parts.get_cost() > BCRYPT_COST {
                    return Err("that hash takes too long: of bcrypt a cost up to 15 is taken");
                }
                Secret::Bcrypt(hash.to_owned())
            }
            hash if hash.starts_with("$argon2") => {
                let parts = PasswordHash::new(hash).map_err(|_| "it is not a whole argon2 hash")?;
                let costs = Params::try_from(&parts).map_err(|_| "that is no argon2 hash that can be computed")?;
                let (memory, passes) = (u64::from(costs.m_cost()), u64::from(costs.t_cost()));
                if memory > ARGON2_KIB || memory * passes > ARGON2_KIB_IN_ALL_PASSES {
                    return Err("that hash takes too much: of argon2 up to 2 GiB are taken, and 4 GiB in all passes");
                }
                Secret::Argon2(hash.to_owned())
            }
            hash if is_foreign_hash(hash) => return Err("it looks like a hash, of a kind that is not known here"),
            plain => Secret::Plain(plain.to_owned()),
        };
        Ok(Self::new(name, secret))
    }

    fn is_hashed(&self) -> bool {
        !matches!(self.secret, Secret::Plain(_))
    }

    async fn confirm(self: &Arc<Self>, password: &str, turns: &HashTurns<'_>) -> Result<bool, NotHashed> {
        if let Secret::Plain(plain) = &self.secret {
            return Ok(same(plain, password).into());
        }
        if self.has_confirmed(password) {
            return Ok(true);
        }
        let turn = turns.throttle.hash_turn(turns.address).await.map_err(NotHashed::TooMany)?;
        // A camera program asks several times at once.
        if self.has_confirmed(password) {
            return Ok(true);
        }
        if (turns.has_left)() {
            return Err(NotHashed::PeerLeft);
        }
        let (user, password, (sender, confirmed)) = (self.clone(), password.to_owned(), oneshot::channel());
        // The turn ends when the hash is there, whether or not the request still waits for it.
        let hash = move || {
            let _turn = turn;
            yield_to_viewers();
            _ = sender.send(user.confirm_by_hash(password));
        };
        // Not on a thread of the runtime, whose end would wait for it.
        if let Err(error) = thread::Builder::new().name("hashing".to_owned()).spawn(hash) {
            warn!(%error, "cannot check a password");
        }
        Ok(confirmed.await.unwrap_or(false))
    }

    fn has_confirmed(&self, password: &str) -> bool {
        self.confirmed.lock().as_deref().is_some_and(|known| same(known, password).into())
    }

    fn confirm_by_hash(&self, password: String) -> bool {
        let is_right = match &self.secret {
            Secret::Plain(plain) => same(plain, &password).into(),
            Secret::Bcrypt(hash) => bcrypt::verify(&password, hash).unwrap_or(false),
            Secret::Argon2(hash) => Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok(),
        };
        if is_right {
            self.warn_of_cut(&password);
            *self.confirmed.lock() = Some(password);
        }
        is_right
    }

    fn warn_of_cut(&self, password: &str) {
        static SAID: Once = Once::new();
        if matches!(self.secret, Secret::Bcrypt(_)) && password.len() > BCRYPT_BYTES {
            let hint = "argon2 compares all of it";
            SAID.call_once(|| warn!(hint, "a password has more than 72 bytes, of which bcrypt compares the first 72"));
        }
    }
}

/// Hashing leaves the processor to everything else: a crowd of guesses costs no viewer a picture.
fn yield_to_viewers() {
    // On Linux this is for the thread alone, elsewhere for the process (setpriority(2)).
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(10);
}

/// Whether it has the form of a hash of another program: `$5$…`, `{SSHA}…`, `pbkdf2_sha256$…$…` (Django), `scrypt:32768:8:1$…`
/// (Werkzeug), `*` and 40 digits (MySQL).
fn is_foreign_hash(secret: &str) -> bool {
    let is_word = |word: &str| {
        let passes = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.,/+:".contains(&letter);
        !word.is_empty() && word.len() <= 40 && word.bytes().all(passes)
    };
    let is_first_word = |rest: Option<&str>, end| rest.and_then(|rest| rest.split_once(end)).is_some_and(|(word, _)| is_word(word));
    let is_hex = |text: &str| text.bytes().all(|letter| letter.is_ascii_hexdigit());
    let is_framework = ["pbkdf2", "scrypt", "bcrypt", "argon2", "sha1$", "sha256$", "sha512$", "md5$"];
    let is_framework = is_framework.iter().any(|kind| secret.starts_with(kind)) && secret.splitn(3, '$').count() == 3;
    is_first_word(secret.strip_prefix('$'), '$')
        || is_first_word(secret.strip_prefix('{'), '}')
        || is_framework
        || secret.strip_prefix('*').is_some_and(|digits| digits.len() == 40 && is_hex(digits))
}

/// Whether it may be a hash without a mark: DES of `htpasswd -d`, or the digits of MD5 and SHA. It may be a password as well.
fn may_be_hash(secret: &str) -> bool {
    let is_hex = secret.bytes().all(|letter| letter.is_ascii_hexdigit());
    let is_des = secret.len() == 13 && secret.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"./".contains(&letter));
    is_des || is_hex && [32, 40, 64, 96, 128].contains(&secret.len())
}

fn split(pair: &str) -> Result<(&str, &str), &'static str> {
    match pair.split_once(':') {
        None => Err("there is no colon between user and password"),
        Some(("", _)) => Err("there is no user before the colon"),
        Some((_, "")) => Err("there is no password behind the colon"),
        Some(pair) => Ok(pair),
    }
}

/// Compares in a time that tells nothing but whether the lengths are the same.
pub(crate) fn same(a: &str, b: &str) -> Choice {
    a.as_bytes().ct_eq(b.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Confirms a password for a peer that waits, or has left.
    async fn confirm(passwords: &Passwords, pair: (&str, &str), has_left: bool) -> Result<bool, NotHashed> {
        let throttle = LoginThrottle::default();
        let turns = HashTurns { throttle: &throttle, address: None, has_left: &|| has_left };
        passwords.confirm(pair.0, pair.1, &turns).await
    }

    #[tokio::test]
    async fn passwords_are_confirmed_plain_and_hashed() {
        let argon2 = {
            use argon2::{Algorithm, Params, PasswordHasher, Version};
            let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
            cheap.hash_password_with_salt(b"secret", b"0123456789abcdef").unwrap().to_string()
        };
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        let file = format!("# the family\n\nplain:with:colon\nbc:{bcrypt}\r\nar:{argon2}\n");
        let passwords = Passwords::read(&file).unwrap();
        let confirm = async |name, password| confirm(&passwords, (name, password), false).await.unwrap();
        for _ in 0..2 {
            assert!(confirm("plain", "with:colon").await);
            assert!(confirm("bc", "secret").await);
            assert!(confirm("ar", "secret").await);
            for (name, password) in
                [("plain", "secret"), ("bc", "Secret"), ("ar", ""), ("nobody", "secret"), ("", ""), ("bc", &bcrypt)]
            {
                assert!(!confirm(name, password).await, "{name} {password}");
            }
        }
    }

    #[tokio::test]
    async fn a_guess_whose_peer_has_left_is_not_hashed() {
        let passwords = Passwords::read(&format!("bc:{}", bcrypt::hash("secret", 4).unwrap())).unwrap();
        let confirm = async |has_left: bool| confirm(&passwords, ("bc", "secret"), has_left).await;
        assert_eq!(confirm(true).await, Err(NotHashed::PeerLeft));
        assert_eq!(confirm(false).await, Ok(true));
        assert_eq!(confirm(true).await, Ok(true), "known by now, it takes no hash");
    }

    #[test]
    fn a_line_that_cannot_be_used_is_named_by_its_number() {
        for (text, line) in [
            ("a:b\nnocolon\n", 2),
            (":b", 1),
            ("a:", 1),
            ("a:$apr1$x$y", 1),
            ("a:{SHA}x", 1),
            ("a:$2y$05$tooshort", 1),
            ("a:$argon2id$x", 1),
            ("a:b\n\nb:c\na:d", 4),
        ] {
            assert_eq!(Passwords::read(text).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn a_hash_of_another_program_is_not_taken_for_a_password() {
        for hash in [
            "$7$CU..../....abc$def",
            "$gy$j9T$abc$def",
            "$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq",
            "$2$05$abc",
            "$2B$05$abc",
            "$scrypt$ln=16$x",
            "$pbkdf2-sha256$29000$x$y",
            "$argon$x",
            "$ARGON2id$x",
            "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "{PLAIN}secret",
            "{BLF-CRYPT}$2y$05$abc",
            "{SHA512-CRYPT}$6$x$y",
            "pbkdf2_sha256$29000$salt$hash",
            "pbkdf2:sha256:260000$salt$hash",
            "scrypt:32768:8:1$salt$hash",
            "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
        ] {
            assert_eq!(Passwords::read(&format!("a:b\nu:{hash}")).unwrap_err().0, 2, "{hash}");
            assert!(Passwords::typed(&format!("u:{hash}")).is_ok(), "a password that was typed is one: {hash}");
        }
        for password in ["pa$$word", "$1", "$ 1 $", "{", "{}", "5$ and 6$ more", "a{b}c", "*", "$HOME", "a$b$c", "it costs 5$"] {
            assert!(Passwords::read(&format!("u:{password}")).is_ok(), "{password}");
        }
        for (secret, may_be) in [("rqXexS6ZhobKA", true), ("5f4dcc3b5aa765d61d8327deb882cf99", true), ("secret", false)] {
            assert_eq!(may_be_hash(secret), may_be, "{secret}");
        }
    }

    #[test]
    fn a_hash_that_costs_too_much_is_rejected() {
        const BCRYPT: &str = "$8p7ofChEumQzYxiTwXjyYOvWU4UuzpeVFgMXJf0r0/qG3c7JD3b.q";
        const ARGON2: &str = "$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";
        for (cost, is_taken) in [
            (format!("2y$15{BCRYPT}"), true),
            (format!("2y$16{BCRYPT}"), false),
            (format!("argon2id$v=19$m=2097152,t=2,p=4{ARGON2}"), true),
            (format!("argon2id$v=19$m=2097153,t=1,p=4{ARGON2}"), false),
            (format!("argon2id$v=19$m=65536,t=65,p=4{ARGON2}"), false),
            (format!("argon2i$v=19$m=4294967295,t=4294967295,p=4{ARGON2}"), false),
        ] {
            let read = Passwords::read(&format!("a:b\nc:${cost}"));
            assert_eq!(read.err().map(|(line, _)| line), (!is_taken).then_some(2), "{cost}");
        }
    }

    #[test]
    fn debugging_shows_no_secret() {
        assert_eq!(format!("{:?}", Passwords::typed("me:hunter2").unwrap()), "1 passwords");
    }
}
