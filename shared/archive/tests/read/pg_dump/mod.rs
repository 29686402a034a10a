//! Dumps of `pg_dump --format=custom`: sound ones of every version, damaged ones, hostile ones.

mod hostile;
mod real;
mod structure;
mod writer;
