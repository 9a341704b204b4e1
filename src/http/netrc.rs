//! Credentials from a netrc file, read as Python's `netrc` module reads it and used as requests uses it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::message::host::same_host;
use crate::system::environment::{self, Environment};
use crate::system::fork::PerProcess;

/// Looking for a netrc file that nearly nobody has. To ask the file system for every request would cost more than
/// parsing its answer, so one that was not there is not looked for again for a moment, once there are many requests.
struct NetrcLooks {
    /// It was not there the last time, when HOME was this.
    missing_in: Option<Option<OsString>>,
    /// The end of this moment, and how many requests there were in it.
    until: Option<Instant>,
    requests: u32,
}

const MOMENT: Duration = Duration::from_millis(10);
/// So many requests of a moment look: what a program does one after the other is never out of date.
const LOOKING: u32 = 8;

/// Only ever tried: who finds it locked looks at the files.
static NETRC_LOOKS: PerProcess<Mutex<NetrcLooks>> =
    PerProcess::new(|_| Mutex::new(NetrcLooks { missing_in: None, until: None, requests: 0 }));

impl NetrcLooks {
    /// Whether this request can do without a look.
    fn is_known_to_miss(&mut self) -> bool {
        let now = Instant::now();
        if self.until.is_none_or(|until| until <= now) {
            self.until = Some(now + MOMENT);
            self.requests = 0;
        }
        self.requests += 1;
        self.requests > LOOKING
            && self.missing_in.as_ref().is_some_and(|home| environment::is_home_variable(home.as_deref()))
    }
}

/// What the netrc file that these variables name says about a host.
pub fn credentials(variables: Option<&Environment>, host: &str) -> Option<(String, String)> {
    let file = variables.and_then(|variables| variables.netrc.as_deref());
    if file.is_none() && NETRC_LOOKS.get().try_lock().is_some_and(|mut looks| looks.is_known_to_miss()) {
        return None;
    }
    let home = if file.is_none() { environment::home() } else { None };
    let candidates = candidates(file.map(Path::as_os_str), home.as_deref().map(Path::as_os_str));
    // Opening a FIFO would wait for its other end.
    let path = candidates.into_iter().find(|path| path.is_file());
    if file.is_none()
        && let Some(mut looks) = NETRC_LOOKS.get().try_lock()
    {
        looks.missing_in = path.is_none().then(|| std::env::var_os("HOME"));
    }
    let mut contents = String::new();
    File::open(path?).ok()?.take(1 << 20).read_to_string(&mut contents).ok()?;
    lookup(&contents, host)
}

/// The files that may hold the credentials, the first that exists counting. `netrc` is the value of `NETRC`,
/// `home` that of `HOME`; what they were when the request was submitted is for the caller to know.
fn candidates(netrc: Option<&OsStr>, home: Option<&OsStr>) -> Vec<PathBuf> {
    let home = home.filter(|home| !home.is_empty()).map(Path::new);
    match (netrc, home) {
        (Some(netrc), home) => {
            let path = Path::new(netrc);
            match (path.strip_prefix("~"), home) {
                (Ok(rest), Some(home)) => vec![home.join(rest)],
                _ => vec![path.to_owned()],
            }
        }
        (None, Some(home)) => vec![home.join(".netrc"), home.join("_netrc")],
        (None, None) => Vec::new(),
    }
}

/// Login and password for a host: its own entry, or else the default one. As in requests the account stands in
/// for a login that is missing, and a file that does not parse holds nothing.
pub fn lookup(contents: &str, host: &str) -> Option<(String, String)> {
    let contents = contents.strip_prefix('\u{feff}').unwrap_or(contents);
    // Python reads text with universal line ends.
    let contents = contents.replace("\r\n", "\n").replace('\r', "\n");
    let entries = parse(&contents)?;
    // The last one of a name counts.
    let last = |wanted: &dyn Fn(&Entry) -> bool| entries.iter().rev().find(|entry| wanted(entry));
    let entry =
        last(&|entry| same_host(&entry.machine, host)).or_else(|| last(&|entry| entry.machine == DEFAULT))?;
    let login = if entry.login.is_empty() { &entry.account } else { &entry.login };
    if login.is_empty() && entry.password.is_empty() {
        return None;
    }
    Some((login.clone(), entry.password.clone()))
}

/// The name of the default entry; Python does not tell it from a machine called so.
const DEFAULT: &str = "default";

struct Entry {
    machine: String,
    login: String,
    account: String,
    password: String,
}

fn parse(contents: &str) -> Option<Vec<Entry>> {
    let mut lexer = Lexer { chars: contents.chars().peekable(), line_ended: false };
    let mut entries = Vec::new();
    let mut pending = None;
    loop {
        let Some(keyword) = pending.take().or_else(|| lexer.token()).filter(|token| !token.is_empty()) else {
            return Some(entries);
        };
        let machine = match keyword.as_str() {
            "machine" => lexer.token().filter(|name| !name.is_empty())?,
            "default" => DEFAULT.to_owned(),
            "macdef" => {
                lexer.token().filter(|name| !name.is_empty())?;
                lexer.skip_macro()?;
                continue;
            }
            comment if comment.starts_with('#') => {
                lexer.skip_comment();
                continue;
            }
            _ => return None,
        };
        let mut entry =
            Entry { machine, login: String::new(), account: String::new(), password: String::new() };
        while let Some(token) = lexer.token() {
            match token.as_str() {
                "machine" | "default" | "macdef" | "" => {
                    pending = Some(token);
                    break;
                }
                "login" | "user" => entry.login = lexer.token().unwrap_or_default(),
                "account" => entry.account = lexer.token().unwrap_or_default(),
                "password" => entry.password = lexer.token().unwrap_or_default(),
                comment if comment.starts_with('#') => lexer.skip_comment(),
                _ => return None,
            }
        }
        entries.push(entry);
    }
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    /// Whether the token just read took the end of its line with it.
    line_ended: bool,
}

impl Lexer<'_> {
    /// The next token; None at the end. A quoted one may be empty.
    fn token(&mut self) -> Option<String> {
        self.line_ended = false;
        while self.chars.next_if(|c| matches!(c, ' ' | '\t' | '\n')).is_some() {}
        let quoted = self.chars.next_if_eq(&'"').is_some();
        let mut token = String::new();
        if !quoted {
            self.chars.peek()?;
        }
        while let Some(c) = self.chars.next() {
            match c {
                '"' if quoted => break,
                ' ' | '\t' | '\n' if !quoted => {
                    self.line_ended = c == '\n';
                    break;
                }
                '\\' => token.extend(self.chars.next()),
                c => token.push(c),
            }
        }
        Some(token)
    }

    fn skip_comment(&mut self) {
        if !self.line_ended {
            self.line();
        }
    }

    /// A macro ends with an empty line; one that does not makes the file invalid.
    fn skip_macro(&mut self) -> Option<()> {
        while !self.line()?.is_empty() {}
        Some(())
    }

    fn line(&mut self) -> Option<String> {
        self.chars.peek()?;
        Some(self.chars.by_ref().take_while(|&c| c != '\n').collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(login: &str, password: &str) -> Option<(String, String)> {
        Some((login.to_owned(), password.to_owned()))
    }

    #[test]
    fn the_hosts_entry_counts_and_else_the_default() {
        let file = "machine a login u password p\nmachine b\n  login v\n  account x\n  password q\ndefault login w password r\n";
        assert_eq!(lookup(file, "a"), pair("u", "p"));
        assert_eq!(lookup(file, "b"), pair("v", "q"));
        assert_eq!(lookup(file, "c"), pair("w", "r"));
        assert_eq!(lookup("machine a login u password p machine a login v password q", "a"), pair("v", "q"));
    }

    #[test]
    fn a_machine_is_the_same_host_as_in_urls() {
        for (machine, host) in [
            ("A.Example", "a.example"),
            ("B\u{dc}cher.example", "xn--bcher-kva.example"),
            ("[0:0::1]", "::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(
                lookup(&format!("machine {machine} login u password p"), host),
                pair("u", "p"),
                "{machine}"
            );
        }
        assert_eq!(lookup("machine a.example login u password p", "b.a.example"), None);
    }

    #[test]
    fn the_account_stands_in_for_a_missing_login_and_nothing_is_nothing() {
        assert_eq!(lookup("machine a account x password p", "a"), pair("x", "p"));
        assert_eq!(lookup("machine a user u", "a"), pair("u", ""));
        assert_eq!(lookup("machine a password p", "a"), pair("", "p"));
        assert_eq!(lookup("machine a", "a"), None);
        assert_eq!(lookup("", "a"), None);
    }

    #[test]
    fn quotes_and_backslashes_protect() {
        let file = "machine a login \"u s\\\"er\" password p\\ w\\\\#\n";
        assert_eq!(lookup(file, "a"), pair("u s\"er", "p w\\#"));
        assert_eq!(lookup("machine a login \"\" password \"x\"", "a"), pair("", "x"));
    }

    #[test]
    fn comments_are_skipped_but_passwords_may_hold_a_hash() {
        let file = "# top\n#\nmachine a # after\n login u # x y z\n password #p#\n#end\nmachine b login v password q";
        assert_eq!(lookup(file, "a"), pair("u", "#p#"));
        assert_eq!(lookup(file, "b"), pair("v", "q"));
    }

    #[test]
    fn macros_are_skipped_up_to_the_empty_line() {
        let file = "macdef init\nmachine x login no\ncd /tmp\n\nmachine a login u password p\n";
        assert_eq!(lookup(file, "a"), pair("u", "p"));
        assert_eq!(lookup(file, "x"), None);
        assert_eq!(lookup("machine a login u password p\nmacdef init\ncd /", "a"), None, "unterminated");
    }

    #[test]
    fn a_file_that_does_not_parse_holds_nothing() {
        for file in
            ["machine a login u password p\nnonsense", "machine a logn u", "machine", "macdef", "login u"]
        {
            assert_eq!(lookup(file, "a"), None, "{file}");
        }
    }

    #[test]
    fn windows_line_ends_are_line_ends() {
        assert_eq!(lookup("# c\r\nmachine a\r\nlogin u\r\npassword p\r\n", "a"), pair("u", "p"));
    }

    #[test]
    fn the_variable_names_the_only_file_and_home_has_two() {
        let os = OsStr::new;
        assert_eq!(candidates(Some(os("/x/n")), Some(os("/h"))), [PathBuf::from("/x/n")]);
        assert_eq!(candidates(Some(os("~/n")), Some(os("/h"))), [PathBuf::from("/h/n")]);
        assert_eq!(
            candidates(None, Some(os("/h"))),
            [PathBuf::from("/h/.netrc"), PathBuf::from("/h/_netrc")]
        );
        assert!(candidates(None, None).is_empty());
    }
}
