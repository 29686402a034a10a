//! Requests and answers of each protocol, sound and unsound, and what is found of them.

// Marked so that the lints' allowances for tests reach what the tests share.
#[cfg(test)]
mod answers;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod support;
