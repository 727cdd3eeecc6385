//! The allocator of the program and of its benchmarks, and how long it keeps what is free.
//!
//! Rows are many small allocations on several threads; measured against the system's allocator, this one serves them
//! faster. An object takes some ten MiB that are free again once it is in its bucket, and so does the next one. A page
//! that went back to the system between the two is cleared by it before it is used again: with the allocator's own
//! short delay, that was a tenth of all that a full delivery costs. So free pages are kept for some seconds.

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's header, in milliseconds. Its arenas, where large pages lie, take ten times as
/// long.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps free pages for 1 s, large ones for 10 s. To be called first, where there is one thread.
pub fn keep_free_pages() {
    // SAFETY: the option takes any number.
    #[expect(unsafe_code, reason = "the allocator is written in C")]
    unsafe {
        mi_option_set(PURGE_DELAY, 1000);
    }
}
