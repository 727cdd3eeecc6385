//! The allocator of the programs: how long it keeps what is free, and how much it takes at a time.
//!
//! Rows are many small allocations on several threads; measured against the system's allocator, this one serves them
//! faster. Two of its habits do not fit.
//!
//! An object takes some ten MiB that are free again once it is in its bucket, and so does the next one. A page that
//! went back to the system between the two is cleared by it before it is used again, or worse: a vector that grows is
//! copied with the room that it has not filled, and a page that is read first is mapped twice, the second time with
//! both cores interrupted. The allocator gives back all that is free once a second; with that, a tenth of a full
//! delivery went there. So it waits for longer.
//!
//! It also asks for pages of 2 MiB. A folder that waits takes a few KiB, of many sizes, and each size begins on a page
//! of its own: with large pages, ten thousand folders took a fifth more memory, and clearing all of a large page for
//! the part that is used took as long as encoding what then lay there.

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's header, in milliseconds.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps free pages for a minute, and takes them from the system as they are touched. To be called first, where there is
/// one thread.
pub fn set_up() {
    // SAFETY: the option takes any number.
    #[expect(unsafe_code, reason = "the allocator is written in C")]
    unsafe {
        mi_option_set(PURGE_DELAY, 60_000);
    }
    own_pages();
}

/// Also where the system may join pages of its own accord.
#[cfg(target_os = "linux")]
fn own_pages() {
    // A system that knows no large pages has nothing to switch off.
    _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(not(target_os = "linux"))]
fn own_pages() {}
