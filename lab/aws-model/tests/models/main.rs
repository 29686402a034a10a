//! Requests and answers of each protocol, sound and unsound, and what is found of them.

mod answers;
mod requests;
mod speed;
mod support;
