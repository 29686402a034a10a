//! Progress for people: the one place of the lab that prints.

use std::{io::Write, time::Instant};

/// A line of output.
#[expect(clippy::print_stdout, reason = "the lab talks to a person")]
pub fn line(text: &str) {
    println!("{text}");
    // A pipe that is closed early must not end a drill.
    let _ = std::io::stdout().flush();
}

/// A line of what went wrong.
#[expect(clippy::print_stderr, reason = "the lab talks to a person")]
pub fn error(text: &str) {
    eprintln!("lab: {text}");
}

/// A piece of work that takes a while: says that it begins, and how long it took.
#[derive(Debug)]
pub struct Work {
    what: String,
    began: Instant,
}

impl Work {
    /// Says that `what` begins.
    #[must_use]
    pub fn begin(what: impl Into<String>) -> Self {
        let what = what.into();
        line(&format!("  ...  {what}"));
        Self { what, began: Instant::now() }
    }

    /// Says that it is done.
    pub fn done(self) {
        line(&format!("  ok   {} ({:.1} s)", self.what, self.began.elapsed().as_secs_f64()));
    }
}
