//! What belongs to one guest handle and not to the SQLite connection that happens to serve it.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

/// Where the transaction of a handle stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum TransactionState {
    /// None: every statement commits by itself.
    None,
    /// A deferred BEGIN that no statement followed yet, so the writer does not know of it.
    Begun,
    /// The request that opens it is on its way to the writer.
    Opening,
    /// The writer holds it.
    Open,
    /// It was rolled back under the guest's feet, which has to hear of it before it goes on.
    Lost,
}

/// State of one guest handle, shared by the handle and the writer.
#[derive(Debug)]
pub(super) struct Session {
    transaction: AtomicU8,
    /// `changes()`.
    pub(super) changes: AtomicU64,
    /// `total_changes()`.
    pub(super) total_changes: AtomicU64,
    /// `last_insert_rowid()`.
    pub(super) last_insert_rowid: AtomicI64,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            transaction: AtomicU8::new(TransactionState::None as u8),
            changes: AtomicU64::new(0),
            total_changes: AtomicU64::new(0),
            last_insert_rowid: AtomicI64::new(0),
        }
    }

    pub(super) fn transaction(&self) -> TransactionState {
        use TransactionState::{Begun, Lost, None, Open, Opening};
        const STATES: [TransactionState; 5] = [None, Begun, Opening, Open, Lost];
        // Only `set_transaction` writes it, so it is the place of a state in the list.
        STATES[usize::from(self.transaction.load(Ordering::Acquire))]
    }

    pub(super) fn set_transaction(&self, transaction: TransactionState) {
        self.transaction.store(transaction as u8, Ordering::Release);
    }
}
