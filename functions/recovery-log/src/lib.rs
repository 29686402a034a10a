//! recovery-log
