//! Which program a worker process runs, and which library that program loads: the one that runs here.

use std::env;
use std::ffi::c_void;
use std::path::{Path, PathBuf};

use crate::message::error::{Error, ErrorKind};
use crate::system::environment::is_privileged;
use crate::system::symbol::object_of;

pub const NAME: &str = "requests-futures-worker";
const VARIABLE: &str = "REQUESTS_FUTURES_WORKER";

pub struct Program {
    pub path: PathBuf,
    /// The shared library that this process uses; None where it is linked into the executable.
    pub library: Option<PathBuf>,
}

impl Program {
    /// In REQUESTS_FUTURES_WORKER, unless the program has privileges that its caller lacks (set-uid); else beside the
    /// library, or in libexec next to its lib.
    pub fn find() -> Result<Program, Error> {
        let object = object_of(Program::find as *const c_void);
        let object = object.map(|object| object.canonicalize().unwrap_or(object));
        let executable = env::current_exe().ok();
        let library = object.clone().filter(|object| Some(object) != executable.as_ref());
        if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty() && !is_privileged()) {
            return Ok(Program { path: path.into(), library });
        }
        let places = object.as_deref().and_then(Path::parent).map(places).unwrap_or_default();
        match places.iter().find(|place| place.is_file()) {
            Some(path) => Ok(Program { path: path.clone(), library }),
            None => {
                let tried: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
                let text = format!(
                    "No worker process could be started: there is no {NAME} at {}, and {VARIABLE} is not set",
                    tried.join(" or ")
                );
                Err(Error::new(ErrorKind::BrokenPool, text))
            }
        }
    }
}

/// Where the program may lie for a library in this folder.
fn places(folder: &Path) -> Vec<PathBuf> {
    let mut places = vec![folder.join(NAME)];
    if let Some(above) = folder.parent() {
        // Cargo keeps what tests use one folder below.
        if folder.ends_with("deps") {
            places.push(above.join(NAME));
        }
        places.push(above.join("libexec/requests-futures").join(NAME));
        // Where lib has a folder for each kind of machine.
        if let Some(prefix) = above.parent().filter(|_| above.ends_with("lib")) {
            places.push(prefix.join("libexec/requests-futures").join(NAME));
        }
    }
    places
}
