//! Stacks for fibers.
//!
//! They are mapped many at a time, because a process may have only so many mappings, and have a guard below each. Memory
//! they take as it is touched. A stack that comes back is used again first, as it is the warmest; of those that lie
//! about, only so many keep their memory.

use std::io;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::Arc;

use corosensei::stack::StackPointer;
use corosensei::stack::valgrind::ValgrindStackRegistration;

/// Address space for one. Debug builds need several times as much as others.
const SIZE: usize = if cfg!(debug_assertions) {
    1024 * 1024
} else if cfg!(target_pointer_width = "64") {
    256 * 1024
} else {
    128 * 1024
};
/// So many lie in one mapping.
const IN_SLAB: usize = 64;
/// So many that are not in use keep their memory.
const WARM: usize = 128;

/// One that belongs to whoever has it.
pub struct Stack {
    /// Its lowest address, that of the guard.
    limit: usize,
    /// While this lives, it is mapped.
    _slab: Arc<Slab>,
    _valgrind: ValgrindStackRegistration,
}

// SAFETY: the addresses are mapped while the slab lives and belong to nobody else, the lowest page is a guard, and both
// ends are those of pages.
unsafe impl corosensei::stack::Stack for Stack {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.limit + SIZE).expect("no stack ends at the end of the addresses")
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.limit).expect("no stack begins at 0")
    }
}

struct Slab {
    address: usize,
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no stack of it is left.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.address), IN_SLAB * SIZE) };
    }
}

/// Those that are not in use.
#[derive(Default)]
pub struct Stacks {
    warm: Vec<Stack>,
    cold: Vec<Stack>,
}

impl Stacks {
    /// An error when there is no room for one.
    pub fn take(&mut self) -> io::Result<Stack> {
        if let Some(stack) = self.warm.pop().or_else(|| self.cold.pop()) {
            return Ok(stack);
        }
        self.cold = map()?;
        // There are some now.
        self.cold.pop().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    pub fn give_back(&mut self, stack: Stack) {
        if self.warm.len() < WARM {
            self.warm.push(stack);
            return;
        }
        // SAFETY: nothing on it is in use. Its guard is left as it is.
        unsafe {
            let above = ptr::with_exposed_provenance_mut(stack.limit + page_size());
            libc::madvise(above, SIZE - page_size(), libc::MADV_DONTNEED);
        }
        self.cold.push(stack);
    }
}

fn page_size() -> usize {
    // SAFETY: no pointers.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn map() -> io::Result<Vec<Stack>> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FLAGS: libc::c_int =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, of which nobody knows.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), IN_SLAB * SIZE, access, FLAGS, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let slab = Arc::new(Slab { address: mapped.expose_provenance() });
    // Of a huge page a stack would use a corner.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the mapping is ours.
    unsafe {
        libc::madvise(mapped, IN_SLAB * SIZE, libc::MADV_NOHUGEPAGE)
    };
    let mut stacks = Vec::with_capacity(IN_SLAB);
    for limit in (0..IN_SLAB).map(|index| slab.address + index * SIZE) {
        guard(limit)?;
        let valgrind = ValgrindStackRegistration::new(
            ptr::with_exposed_provenance_mut(limit + page_size()),
            SIZE - page_size(),
        );
        stacks.push(Stack { limit, _slab: slab.clone(), _valgrind: valgrind });
    }
    Ok(stacks)
}

/// Makes the page at this address one that ends the process when it is touched.
fn guard(address: usize) -> io::Result<()> {
    let page = ptr::with_exposed_provenance_mut(address);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        /// MADV_GUARD_INSTALL (Linux 6.13): a guard that is no mapping of its own.
        const GUARD_INSTALL: libc::c_int = 102;
        // SAFETY: the page is ours, and nothing is on it.
        if unsafe { libc::madvise(page, page_size(), GUARD_INSTALL) } == 0 {
            return Ok(());
        }
    }
    // SAFETY: as above.
    match unsafe { libc::mprotect(page, page_size(), libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
