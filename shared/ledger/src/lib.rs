//! lifeboat-ledger
