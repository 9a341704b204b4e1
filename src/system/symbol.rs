//! The name of a function: which shared object exports it, and under which symbol. By it another process finds the
//! same function.

use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::fmt;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::system::fork::PerProcess;
use crate::system::lock::Mutex;
use serde::{Deserialize, Serialize};

/// An exported function of a shared object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    pub object: PathBuf,
    /// What the linker wrote into the object to tell one build from another; empty where it did not.
    pub build_id: Vec<u8>,
    pub name: String,
}

/// Why a function has no name that another process could find it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nameless {
    /// In the program itself, which no other program can load.
    InExecutable(String),
    /// Its object does not export it: it is static, or hidden.
    NotExported(String),
    /// Its object is loaded, but no longer where it was loaded from.
    Gone(String),
    /// In no object that the loader knows.
    Unknown(String),
}

impl fmt::Display for Nameless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nameless::InExecutable(function) => {
                write!(f, "{function} is inside the executable, not in a shared object")
            }
            Nameless::NotExported(function) => {
                write!(f, "{function} is static or hidden: its shared object does not export it")
            }
            Nameless::Gone(object) => write!(f, "the function is in {object}, which is no longer there"),
            Nameless::Unknown(function) => write!(f, "{function} is in no object that was loaded"),
        }
    }
}

/// Where an address lies.
struct Place {
    object: PathBuf,
    offset: usize,
    /// The nearest exported symbol, when it is at this very address.
    name: Option<CString>,
}

impl Place {
    fn of(address: *const c_void) -> Option<Place> {
        // SAFETY: plain data that the call fills in.
        let mut info: libc::Dl_info = unsafe { mem::zeroed() };
        // SAFETY: the call only compares the address with those of the objects that are loaded.
        if unsafe { libc::dladdr(address, &mut info) } == 0 || info.dli_fname.is_null() {
            return None;
        }
        // SAFETY: the loader's own strings, which live as long as the object.
        let object = unsafe { CStr::from_ptr(info.dli_fname) };
        let exact = !info.dli_sname.is_null() && info.dli_saddr.cast_const() == address;
        // SAFETY: as above.
        let name = exact.then(|| unsafe { CStr::from_ptr(info.dli_sname) }.to_owned());
        Some(Place {
            object: PathBuf::from(OsStr::from_bytes(object.to_bytes())),
            offset: address as usize - info.dli_fbase as usize,
            name,
        })
    }

    fn shown(&self) -> String {
        match &self.name {
            Some(name) => format!("{} ({})", name.to_string_lossy(), self.object.display()),
            None => format!("the function at {}+{:#x}", self.object.display(), self.offset),
        }
    }
}

/// The file of the object that the address lies in.
pub fn object_of(address: *const c_void) -> Option<PathBuf> {
    Place::of(address).map(|place| place.object)
}

impl Symbol {
    /// The name of the function at this address.
    pub fn of(address: *const c_void) -> Result<Symbol, Nameless> {
        let unknown = || Nameless::Unknown(format!("the function at {address:?}"));
        let place = Place::of(address).ok_or_else(unknown)?;
        let (is_executable, build_id) = build_of(address, &place);
        if is_executable {
            return Err(Nameless::InExecutable(place.shown()));
        }
        let Some(name) = &place.name else { return Err(Nameless::NotExported(place.shown())) };
        // The name must lead back to the very function: another object's of that name would be another hook.
        let gone = || Nameless::Gone(place.object.display().to_string());
        let object = place.object.canonicalize().map_err(|_| gone())?;
        let loaded = Object::open(&place.object, libc::RTLD_NOLOAD).map_err(|_| gone())?;
        if loaded.function(name) != Some(address) {
            return Err(Nameless::NotExported(place.shown()));
        }
        Ok(Symbol { object, build_id, name: name.to_string_lossy().into_owned() })
    }

    /// Finds the function in this process, where its object is loaded for good. The reason is part of a sentence.
    pub fn find(&self) -> Result<*const c_void, String> {
        /// A program has few hooks.
        static FOUND: PerProcess<Mutex<Vec<(Symbol, usize)>>> = PerProcess::new(|_| Mutex::default());
        if let Some((_, address)) = FOUND.get().lock().iter().find(|(symbol, _)| symbol == self) {
            return Ok(*address as *const c_void);
        }
        let shown = || format!("{} ({})", self.name, self.object.display());
        let name = CString::new(self.name.as_str()).map_err(|_| "its name holds a NUL".to_string())?;
        let object = Object::open(&self.object, 0)?;
        let address = object.function(&name).ok_or_else(|| format!("{} is not there", shown()))?;
        let place = Place::of(address).ok_or_else(|| format!("{} is not there", shown()))?;
        if build_of(address, &place).1 != self.build_id {
            return Err(format!("{} is of another build there", shown()));
        }
        mem::forget(object);
        let mut found = FOUND.get().lock();
        if !found.iter().any(|(symbol, _)| symbol == self) {
            found.push((self.clone(), address as usize));
        }
        Ok(address)
    }
}

/// An object of the loader's, open.
struct Object(*mut c_void);

impl Object {
    fn open(path: &std::path::Path, flags: c_int) -> Result<Object, String> {
        let path =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| "its path holds a NUL".to_string())?;
        // SAFETY: a NUL-terminated path. What the object runs when it is loaded is its owner's affair.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | flags) };
        if !handle.is_null() {
            return Ok(Object(handle));
        }
        // SAFETY: the loader's own text, which lives until this thread's next call.
        let why = unsafe { libc::dlerror().cast_const().as_ref().map(|text| CStr::from_ptr(text)) };
        Err(why.map_or("it could not be loaded".into(), |why| why.to_string_lossy().into_owned()))
    }

    fn function(&self, name: &CStr) -> Option<*const c_void> {
        // SAFETY: the handle is open.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        (!address.is_null()).then_some(address.cast_const())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once.
        unsafe { libc::dlclose(self.0) };
    }
}

/// Whether the address lies in the executable, and the build-id of its object.
#[cfg(target_os = "linux")]
fn build_of(address: *const c_void, _: &Place) -> (bool, Vec<u8>) {
    struct Search {
        address: usize,
        index: usize,
        found: Option<(bool, Vec<u8>)>,
    }

    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: the loader lends the first for the call, and the second is ours.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        // The executable is the first to be named.
        let is_executable = search.index == 0;
        search.index += 1;
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: so many program headers are there.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let base = info.dlpi_addr as usize;
        let ranges = |kind: u32| {
            let chosen = headers.iter().filter(move |header| header.p_type == kind);
            chosen.map(move |header| {
                let start = base.wrapping_add(header.p_vaddr as usize);
                start..start.wrapping_add(header.p_memsz as usize)
            })
        };
        if !ranges(libc::PT_LOAD).any(|range| range.contains(&search.address)) {
            return 0;
        }
        let ids = ranges(libc::PT_NOTE).filter_map(|range| {
            // SAFETY: a note segment of an object that is loaded lies in memory, readable.
            build_id(unsafe { std::slice::from_raw_parts(range.start as *const u8, range.len()) })
        });
        search.found = Some((is_executable, ids.into_iter().next().unwrap_or_default()));
        1
    }

    let mut search = Search { address: address as usize, index: 0, found: None };
    // SAFETY: the function gets back the address given here, during the call only.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found.unwrap_or_default()
}

/// Whether the address lies in the executable. There are no build-ids here.
#[cfg(not(target_os = "linux"))]
fn build_of(_: *const c_void, place: &Place) -> (bool, Vec<u8>) {
    let executable = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    (executable.is_some() && executable == place.object.canonicalize().ok(), Vec::new())
}

/// The build-id among the notes of an object: each is the length of its owner, of its content, its type, and both.
#[cfg(target_os = "linux")]
fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    const GNU_BUILD_ID: u32 = 3;
    let number = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?));
    while notes.len() >= 12 {
        let (owner, content, kind) = (number(notes)?, number(&notes[4..])?, number(&notes[8..])?);
        let padded = |length: u32| (length as usize).next_multiple_of(4);
        let rest = &notes[12..];
        let body = rest.get(padded(owner)..)?;
        if kind == GNU_BUILD_ID && rest.starts_with(b"GNU\0") {
            return body.get(..content as usize).map(<[u8]>::to_vec);
        }
        notes = body.get(padded(content)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_of_a_shared_object_is_found_again_by_its_name() {
        let address = libc::strerror_r as *const c_void;
        // A function's address may be that of a jump inside the executable: the loader knows the true one.
        // SAFETY: a NUL-terminated name.
        let real = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"puts".as_ptr()) }.cast_const();
        assert!(!address.is_null() && !real.is_null());
        let symbol = Symbol::of(real).expect("the C library exports puts");
        assert!(symbol.object.is_absolute());
        assert_eq!(symbol.find(), Ok(real));
        let other = Symbol { build_id: vec![1, 2, 3], ..symbol.clone() };
        assert!(other.find().unwrap_err().contains("another build"));
        let other = Symbol { name: "no_such_function".into(), ..symbol };
        assert!(other.find().unwrap_err().contains("no_such_function"));
    }

    #[test]
    fn a_function_of_the_executable_has_no_name() {
        let address = a_function_of_the_executable_has_no_name as *const c_void;
        assert!(matches!(Symbol::of(address), Err(Nameless::InExecutable(_))));
        assert!(matches!(Symbol::of(std::ptr::null()), Err(Nameless::Unknown(_))));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn broken_notes_are_no_build_id() {
        assert_eq!(build_id(&[0xff; 40]), None);
        assert_eq!(build_id(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0, b'G', b'N', b'U', 0]), None);
    }
}
