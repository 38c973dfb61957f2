//! Ctrl-C: the first asks a run to stop and keep what is finished, the second ends the process at once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The flag that solvers look at between steps; true once an interrupt or a termination was asked for.
pub fn flag() -> Arc<AtomicBool> {
    FLAG.get_or_init(|| Arc::new(AtomicBool::new(false))).clone()
}

/// True once the user asked to stop.
pub fn is_asked() -> bool {
    flag().load(Ordering::Relaxed)
}

/// Catches interrupts from here on. Without it (where the system refuses a handler) Ctrl-C simply ends the process.
pub fn catch() {
    let flag = flag();
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
}
