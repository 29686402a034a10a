//! A mutex whose poison is ignored: every critical section here leaves the data whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
