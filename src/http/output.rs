//! A download that appears under its name when it is complete, and not before. What goes to a device, a pipe or a
//! descriptor, or behind what a file holds, is written to it directly.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::iter;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::future::control::{Control, SLICE};
use crate::message::error::{Error, ErrorKind};
use crate::message::form::random_hex;
use crate::system::fiber::{self, WRITABLE};
use crate::system::thread;

/// Dropped before it is complete, it leaves a regular file of that name as it was.
pub struct OutputFile<'a> {
    /// None only at its end.
    file: Option<File>,
    goal: Goal<'a>,
    way: Way,
    /// Of one that is added to.
    grown: Option<Grown>,
    /// None: it is written where it is: a device, a pipe, a descriptor, or a file that is added to.
    temporary: Option<Temporary>,
    control: &'a Control,
}

/// What has become of a file that is added to.
struct Grown {
    start: u64,
    written: u64,
    is_new: bool,
}

/// What a write may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It does not wait, or for the file system alone.
    Free,
    /// It might wait for whoever is to take it: it is only made when there is room, and for so much.
    Pipe,
    /// The same of a socket, which can be told not to wait.
    Socket,
}

/// What is written where.
#[derive(Clone, Copy)]
pub struct Goal<'a> {
    /// As the user gave it.
    pub name: &'a Path,
    /// For messages.
    pub what: &'static str,
    /// Nobody but its owner may read it, whatever was there.
    pub is_private: bool,
    /// It goes behind what is there, and not in its place.
    pub appends: bool,
}

/// A terminal once more, with a description of its own: what the user has goes on to wait, and this does not. None: it is
/// none, or cannot be had once more.
#[cfg(target_os = "linux")]
fn terminal_of(descriptor: RawFd, flags: i32) -> Option<File> {
    let mut number: libc::c_uint = 0;
    // SAFETY: an open descriptor; the number is filled in.
    let (is_terminal, is_master) = unsafe {
        (libc::isatty(descriptor) == 1, libc::ioctl(descriptor, libc::TIOCGPTN, &raw mut number) == 0)
    };
    // The controlling side opened once more would be another terminal. What is only read from stays an error.
    if !is_terminal || is_master || flags & libc::O_ACCMODE == libc::O_RDONLY {
        return None;
    }
    let how = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().write(true).custom_flags(how).open(format!("/proc/self/fd/{descriptor}")).ok()
}

#[cfg(not(target_os = "linux"))]
fn terminal_of(_: RawFd, _: i32) -> Option<File> {
    None
}

/// A file under another name beside the one that it gets. Dropped before it has that, it is removed.
struct Temporary {
    path: PathBuf,
    target: PathBuf,
    is_renamed: bool,
}

/// What came of an attempt to open.
enum Attempt<'a> {
    Opened(OutputFile<'a>),
    /// Nobody reads from the pipe yet.
    NoReader,
    /// Somebody has put another file in its place meanwhile.
    Changed,
}

/// How much is written between two looks at the control.
pub(super) const PIECE: usize = 64 * 1024;
/// How many links the system follows.
const LINKS: usize = 40;
/// How often a file may be another one than a moment before.
pub(super) const CHANGES: usize = 8;
/// The length from which on the name of a file is no part of the temporary one: both have to fit into the 255 bytes that
/// file systems allow.
const LONG_NAME: usize = 200;

impl<'a> OutputFile<'a> {
    /// What a descriptor of the user's leads to, from where it stands. It is not closed, and its mode stays.
    pub fn of_descriptor(
        descriptor: RawFd,
        goal: Goal<'a>,
        control: &'a Control,
    ) -> Result<OutputFile<'a>, Error> {
        // SAFETY: a number; that it stays open is the user's promise, and a wrong one is an error.
        let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
        if copy < 0 {
            return Err(goal.failed(&io::Error::last_os_error()));
        }
        // SAFETY: it was made just now, and is nobody else's.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(copy) });
        let kind = file.metadata().map_err(|error| goal.failed(&error))?.file_type();
        // SAFETY: an open descriptor.
        let flags = unsafe { libc::fcntl(copy, libc::F_GETFL) };
        let waits = flags & libc::O_NONBLOCK == 0 && !kind.is_file();
        // What poll(2) says of a terminal is not how much it takes.
        if waits && let Some(own) = terminal_of(copy, flags) {
            return Ok(OutputFile {
                file: Some(own),
                goal,
                way: Way::Free,
                grown: None,
                temporary: None,
                control,
            });
        }
        let way = match waits {
            false => Way::Free,
            true if kind.is_socket() => Way::Socket,
            true => Way::Pipe,
        };
        Ok(OutputFile { file: Some(file), goal, way, grown: None, temporary: None, control })
    }

    /// Opens it. A pipe is waited for until somebody reads from it.
    pub fn create_for(goal: Goal<'a>, control: &'a Control) -> Result<OutputFile<'a>, Error> {
        let mut changes = 0;
        loop {
            Error::check(control, format_args!(" while opening the {}", goal.what))?;
            match OutputFile::attempt(goal, control)? {
                Attempt::Opened(opened) => return Ok(opened),
                Attempt::NoReader => {}
                Attempt::Changed if changes < CHANGES => changes += 1,
                Attempt::Changed => {
                    return Err(goal.refused("it leads to a file that is not under its name any more", 0));
                }
            }
            fiber::sleep(SLICE);
        }
    }

    fn attempt(goal: Goal<'a>, control: &'a Control) -> Result<Attempt<'a>, Error> {
        let there = match fs::metadata(goal.name) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(goal.failed(&error)),
        };
        match there {
            Some(there) if there.is_dir() => Err(goal.is_folder()),
            Some(there) if !there.is_file() => OutputFile::open_directly(goal, &there, control),
            there if goal.appends => OutputFile::open_behind(goal, there.is_none(), control),
            there => OutputFile::open_beside(goal, there.as_ref(), control),
        }
    }

    /// Opens a device or a pipe. Without O_NONBLOCK, opening a pipe blocks until it has a reader, and nothing could end
    /// that.
    fn open_directly(goal: Goal<'a>, there: &Metadata, control: &'a Control) -> Result<Attempt<'a>, Error> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().write(true).custom_flags(flags).open(goal.name) {
            Ok(file) => file,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) && there.file_type().is_fifo() => {
                return Ok(Attempt::NoReader);
            }
            Err(error) => return Err(goal.failed(&error)),
        };
        if file.metadata().map_err(|error| goal.failed(&error))?.is_file() {
            // Not what was looked at: this one must not be changed before the body is complete.
            return Ok(Attempt::Changed);
        }
        let file = Some(file);
        Ok(Attempt::Opened(OutputFile { file, goal, way: Way::Free, grown: None, temporary: None, control }))
    }

    /// Opens a file to add to it; there need not be one yet.
    fn open_behind(goal: Goal<'a>, is_new: bool, control: &'a Control) -> Result<Attempt<'a>, Error> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().append(true).create(true).custom_flags(flags).open(goal.name) {
            Ok(file) => file,
            // Another process has a lease on the file, and has just been told that it is wanted.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Attempt::NoReader),
            Err(error) => return Err(goal.cannot_create(goal.name, &error)),
        };
        let there = file.metadata().map_err(|error| goal.failed(&error))?;
        if !there.is_file() {
            return Ok(Attempt::Changed);
        }
        let grown = Some(Grown { start: there.len(), written: 0, is_new });
        Ok(Attempt::Opened(OutputFile {
            file: Some(file),
            goal,
            way: Way::Free,
            grown,
            temporary: None,
            control,
        }))
    }

    /// Creates a file beside the one that is `there`, or will be.
    fn open_beside(
        goal: Goal<'a>,
        there: Option<&Metadata>,
        control: &'a Control,
    ) -> Result<Attempt<'a>, Error> {
        let target = followed(goal.name).map_err(|error| goal.failed(&error))?;
        if let Some(there) = there
            && !fs::metadata(&target).is_ok_and(|other| is_same(there, &other))
        {
            return Ok(Attempt::Changed);
        }
        if goal.leads_to_folder(&target) {
            return Err(goal.is_folder());
        }
        let last = last_part(&target);
        let mut path = target.clone();
        let shown = if last.len() < LONG_NAME { OsStr::from_bytes(last) } else { OsStr::new(goal.what) };
        let mut temporary = shown.to_os_string();
        temporary.push(format!(".{}.part", random_hex(1)));
        path.set_file_name(temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        if there.is_some() || goal.is_private {
            // Until it has the rights of the file that was there.
            options.mode(0o600);
        }
        let file = options.open(&path).map_err(|error| goal.cannot_create(&target, &error))?;
        let temporary = Temporary { path, target, is_renamed: false };
        if let Some(there) = there.filter(|_| !goal.is_private) {
            keep_owner_and_mode(&file, there);
        }
        Ok(Attempt::Opened(OutputFile {
            file: Some(file),
            goal,
            way: Way::Free,
            grown: None,
            temporary: Some(temporary),
            control,
        }))
    }

    pub fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        let mut left = data;
        while !left.is_empty() {
            Error::check(self.control, format_args!(" while writing the {}", self.goal.what))?;
            let most = if self.way == Way::Pipe { libc::PIPE_BUF } else { PIECE };
            let piece = &left[..left.len().min(most)];
            // A socket says by itself that it has none.
            if self.way == Way::Pipe && !self.has_room(Duration::ZERO) && !self.wait_for_room() {
                continue;
            }
            match thread::without_signals_of_writing(|| self.write_some(piece)) {
                Ok(0) => return Err(self.goal.failed(&io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    left = &left[count..];
                    if let Some(grown) = &mut self.grown {
                        grown.written += count as u64;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => _ = self.wait_for_room(),
                Err(error) => return Err(self.goal.failed(&error)),
            }
        }
        Ok(())
    }

    fn write_some(&self, piece: &[u8]) -> io::Result<usize> {
        if self.way != Way::Socket {
            return self.file().write(piece);
        }
        let descriptor = self.file().as_raw_fd();
        // SAFETY: `piece` has so many bytes.
        let sent = unsafe { libc::send(descriptor, piece.as_ptr().cast(), piece.len(), libc::MSG_DONTWAIT) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Waits until a full pipe has room, or for a moment. Whether it has, or will never have.
    fn wait_for_room(&self) -> bool {
        if let Some(here) = fiber::here()
            && let Ok(watched) = here.watch_lent(self.file().as_raw_fd())
        {
            here.wait_for(iter::once(&watched), WRITABLE, Instant::now().checked_add(SLICE));
            return watched.readiness.has(WRITABLE);
        }
        self.has_room(SLICE)
    }

    fn has_room(&self, longest: Duration) -> bool {
        let mut entry = libc::pollfd { fd: self.file().as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        let millis = longest.as_millis().try_into().unwrap_or(1);
        // SAFETY: one entry, which lives until the call returns.
        unsafe { libc::poll(&mut entry, 1, millis) > 0 }
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("there until it is complete")
    }

    /// Gives the file its name.
    pub fn complete(mut self) -> Result<(), Error> {
        Error::check(self.control, format_args!(" while writing the {}", self.goal.what))?;
        let goal = self.goal;
        if let Some(file) = self.file.take() {
            // Some file systems say only now that there was no room for all of it.
            close(file).map_err(|error| goal.failed(&error))?;
        }
        match self.temporary.take() {
            Some(temporary) => temporary.rename().map_err(|error| goal.failed(&error)),
            None => Ok(()),
        }
    }
}

impl Drop for OutputFile<'_> {
    /// What was added to a file is taken out again when it is not all, unless somebody else has added more.
    fn drop(&mut self) {
        if self.control.origin().is_inherited() {
            // The parent goes on with it.
            mem::forget(self.temporary.take());
            return;
        }
        let (Some(file), Some(Grown { start, written, is_new })) = (&self.file, &self.grown) else { return };
        if file.metadata().is_ok_and(|now| now.len() == start + written) {
            // If it cannot be done there is nobody to tell.
            let _ = match is_new {
                true => fs::remove_file(self.goal.name),
                false => file.set_len(*start),
            };
        }
    }
}

impl Temporary {
    fn rename(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            // It is of no use to anyone, and if it cannot be removed there is nobody to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Goal<'_> {
    /// Of the body, in the place of what is there.
    pub fn output(name: &Path) -> Goal<'_> {
        Goal { name, what: "output", is_private: false, appends: false }
    }

    /// A file that cannot be created at this path.
    pub(super) fn cannot_create(&self, path: &Path, error: &io::Error) -> Error {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match (error.raw_os_error(), folder) {
            (Some(libc::ENOENT), Some(folder)) if !folder.exists() => {
                let why = format!("the directory {} does not exist; create it first", folder.display());
                self.refused(&why, libc::ENOENT)
            }
            _ => self.failed(error),
        }
    }

    pub(super) fn failed(&self, error: &io::Error) -> Error {
        Error::os(
            ErrorKind::Request,
            format!("Cannot write the {} to {}", self.what, self.name.display()),
            error,
        )
    }

    pub(super) fn refused(&self, why: &str, os_code: i32) -> Error {
        let text = format!("Cannot write the {} to {}: {why}", self.what, self.name.display());
        Error::new(ErrorKind::Request, text).with_os_code(os_code)
    }

    /// Whether nothing but a directory can have such a name.
    pub(super) fn leads_to_folder(&self, target: &Path) -> bool {
        !target.as_os_str().is_empty() && matches!(last_part(target), b"" | b"." | b"..")
    }

    pub(super) fn is_folder(&self) -> Error {
        self.refused("it is a directory", libc::EISDIR)
    }
}

/// What stands behind the last slash of a path.
fn last_part(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Where the links of a path lead, also when nothing is there yet.
pub(super) fn followed(name: &Path) -> io::Result<PathBuf> {
    let mut target = name.to_path_buf();
    for _ in 0..LINKS {
        // What is no link, or not there, is where it ends.
        let Ok(link) = fs::read_link(&target) else { return Ok(target) };
        target.pop();
        target.push(link);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

pub(super) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// As far as this process may. What cannot be kept gives nobody more rights than before.
pub(super) fn keep_owner_and_mode(file: &File, there: &Metadata) {
    let has_owner = fchown(file, Some(there.uid()), Some(there.gid())).is_ok();
    let has_group = has_owner || fchown(file, None, Some(there.gid())).is_ok();
    let mut mode = there.mode() & 0o7777;
    if !has_owner {
        // It would run as somebody else than before.
        mode &= 0o777;
    }
    if !has_group {
        // To the file that was there its group was like everybody else.
        mode = (mode & 0o707) | (mode & 0o007) << 3;
    }
    // A file system without modes refuses; the file then stays private.
    let _ = file.set_permissions(Permissions::from_mode(mode));
}

/// Closes a file, and says whether that went well, which dropping it does not.
pub(super) fn close(file: File) -> io::Result<()> {
    let descriptor = file.into_raw_fd();
    // An interrupted close leaves open what has become of the data.
    thread::with_signals_blocked(|| {
        // SAFETY: the descriptor was the file's, and nobody else closes it.
        if unsafe { libc::close(descriptor) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::control::Deadline;
    use std::time::{Duration, Instant};

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let path = std::env::temp_dir().join(format!("rf-output-{}", random_hex(2)));
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        fn file(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).unwrap();
            path
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn write(name: &Path, content: &[u8]) -> Result<(), Error> {
        let control = Control::new();
        let mut file = OutputFile::create_for(Goal::output(name), &control)?;
        file.write(content)?;
        file.complete()
    }

    fn refusal(name: &Path) -> Error {
        let error = write(name, b"new").unwrap_err();
        assert!(error.message().as_str().contains(name.to_str().unwrap()), "{error}");
        error
    }

    #[test]
    fn the_mode_of_a_file_that_was_there_is_kept() {
        let folder = Folder::new();
        let path = folder.file("file", "old");
        for mode in [0o600, 0o640, 0o755, 0o400, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            write(&path, b"new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
        }
        assert_eq!(folder.names(), ["file"]);
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let (folder, other) = (Folder::new(), Folder::new());
        let target = other.file("target", "old");
        let (first, second) = (folder.0.join("first"), folder.0.join("second"));
        std::os::unix::fs::symlink(&target, &first).unwrap();
        std::os::unix::fs::symlink("first", &second).unwrap();
        let control = Control::new();
        let mut file = OutputFile::create_for(Goal::output(&second), &control).unwrap();
        file.write(b"new").unwrap();
        // The temporary file lies beside the target.
        assert_eq!((folder.names().len(), other.names().len()), (2, 2));
        file.complete().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(first.is_symlink() && second.is_symlink());
        // One that leads to nothing yet.
        fs::remove_file(&target).unwrap();
        write(&second, b"newer").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "newer");
        assert!(first.is_symlink() && second.is_symlink());
        assert_eq!((folder.names().len(), other.names().len()), (2, 1));
        // One that leads to itself.
        let round = folder.0.join("round");
        std::os::unix::fs::symlink("round", &round).unwrap();
        assert_eq!(refusal(&round).os_code(), libc::ELOOP);
    }

    #[test]
    fn a_file_that_has_lost_its_name_is_not_replaced() {
        let folder = Folder::new();
        let open = File::create(folder.0.join("file")).unwrap();
        fs::remove_file(folder.0.join("file")).unwrap();
        let link = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        if !fs::metadata(&link).is_ok_and(|there| there.is_file()) {
            println!("skipped: no links to open files in /proc");
            return;
        }
        refusal(&link);
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_folder_and_what_lies_in_none_are_refused() {
        let folder = Folder::new();
        assert_eq!(refusal(&folder.0).os_code(), libc::EISDIR);
        for name in ["new/", "new/.", "missing/.."] {
            assert!(refusal(&folder.0.join(name)).os_code() != 0);
        }
        let missing = refusal(&folder.0.join("missing/file"));
        assert_eq!(missing.os_code(), libc::ENOENT);
        assert!(missing.message().as_str().contains("missing does not exist"), "{missing}");
        folder.file("plain", "");
        assert_eq!(refusal(&folder.0.join("plain/file")).os_code(), libc::ENOTDIR);
        assert_eq!(write(Path::new(""), b"").unwrap_err().os_code(), libc::ENOENT);
        assert_eq!(folder.names(), ["plain"]);
    }

    #[test]
    fn a_name_as_long_as_the_system_allows_will_do() {
        let folder = Folder::new();
        let path = folder.0.join("n".repeat(255));
        write(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_other() {
        let folder = Folder::new();
        let path = folder.file("file", "old");
        let control = Control::new();
        let mut file = OutputFile::create_for(Goal::output(&path), &control).unwrap();
        file.write(b"half").unwrap();
        control.abort();
        assert_eq!(file.write(b"more").unwrap_err().kind(), ErrorKind::Aborted);
        assert_eq!(file.complete().unwrap_err().kind(), ErrorKind::Aborted);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(folder.names(), ["file"]);
    }

    #[test]
    fn a_device_is_written_to() {
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        if Path::new("/dev/full").exists() {
            assert_eq!(refusal(Path::new("/dev/full")).os_code(), libc::ENOSPC);
        }
    }

    #[test]
    fn a_pipe_without_a_reader_is_waited_for_until_the_deadline() {
        let folder = Folder::new();
        let path = folder.0.join("pipe");
        make_pipe(&path);
        let control = Control::new();
        let begun = Instant::now();
        let after = Duration::from_millis(50);
        control.set_deadline(Deadline { at: begun + after, after });
        let error = OutputFile::create_for(Goal::output(&path), &control).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(begun.elapsed() < Duration::from_secs(5));
        // A regular file in its place is not touched before the body is complete.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "old").unwrap();
        let there = fs::metadata("/dev/null").unwrap();
        let control = Control::new();
        let goal = Goal::output(&path);
        assert!(matches!(OutputFile::open_directly(goal, &there, &control), Ok(Attempt::Changed)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    fn make_pipe(path: &Path) {
        let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a NUL-terminated name.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    }
}
