//! The reader-writer lock of the C library in shared memory, with
//! `PTHREAD_PROCESS_SHARED`. If a process dies while it holds the lock, it stays
//! locked.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use std::sync::Arc;

use super::{Contender, Lookup, Reader, Table, states};

struct Locked {
    lock: UnsafeCell<libc::pthread_rwlock_t>,
    table: UnsafeCell<Table>,
}

// SAFETY: the table is only read under the lock, and only changed under the write
// lock; the lock itself may be used by several threads.
unsafe impl Send for Locked {}
// SAFETY: as above.
unsafe impl Sync for Locked {}

/// The lock is not in shared memory, which makes no difference to its cost.
pub struct ProcessLock(Arc<Locked>);

impl ProcessLock {
    pub fn new() -> ProcessLock {
        let mut attributes = MaybeUninit::uninit();
        let mut lock = MaybeUninit::uninit();
        // SAFETY: both are initialised by their init calls, and a lock that is not
        // held may be moved.
        let lock = unsafe {
            assert_eq!(libc::pthread_rwlockattr_init(attributes.as_mut_ptr()), 0);
            let shared = libc::PTHREAD_PROCESS_SHARED;
            assert_eq!(libc::pthread_rwlockattr_setpshared(attributes.as_mut_ptr(), shared), 0);
            assert_eq!(libc::pthread_rwlock_init(lock.as_mut_ptr(), attributes.as_ptr()), 0);
            lock.assume_init()
        };
        let (lock, table) = (UnsafeCell::new(lock), UnsafeCell::new(Table::new()));
        ProcessLock(Arc::new(Locked { lock, table }))
    }
}

struct ProcessLockReader(Arc<Locked>, Vec<u64>);

impl Lookup for ProcessLockReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        let lock = self.0.lock.get();
        // SAFETY: the lock is initialised and lives in the `Arc`; under the read lock
        // no thread changes the table.
        let slot = unsafe {
            assert_eq!(libc::pthread_rwlock_rdlock(lock), 0);
            let slot = (&(*self.0.table.get()).owners)[partition];
            libc::pthread_rwlock_unlock(lock);
            slot
        };
        self.1[slot]
    }
}

impl Contender for ProcessLock {
    fn name(&self) -> &'static str {
        "pthread rwlock, process-shared"
    }
    fn across_processes(&self) -> bool {
        true
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ProcessLockReader(self.0.clone(), states()))
    }
    fn publish(&mut self) {
        let lock = self.0.lock.get();
        // SAFETY: as for the reader; under the write lock no other thread reads the
        // table.
        unsafe {
            assert_eq!(libc::pthread_rwlock_wrlock(lock), 0);
            (*self.0.table.get()).change();
            libc::pthread_rwlock_unlock(lock);
        }
    }
}
