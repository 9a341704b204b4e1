//! How long an input may take: a second of processor time. libFuzzer looks at the clock, which goes on while other programs
//! run; it ends what hangs.

use std::mem::MaybeUninit;
use std::time::Duration;

pub fn within_a_second(target: fn(&[u8]), data: &[u8]) {
    let before = processor_time();
    target(data);
    let taken = processor_time() - before;
    assert!(taken <= Duration::from_secs(1), "one input took {taken:?} of processor time");
}

fn processor_time() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the time is written there, unless the answer is another than 0.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()), 0);
        time.assume_init()
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
