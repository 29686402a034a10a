//! Reads an artifact as often as told and prints the best time and the report:
//! `cargo run --release -p lifeboat-archive --example read -- FILE [THREADS [RUNS]]`.

use std::{
    error::Error,
    io::Write,
    num::NonZero,
    time::{Duration, Instant},
};

use lifeboat_archive::{FileSource, Options, read};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = FileSource::new(arguments.next().ok_or("which file?")?)?;
    let threads: NonZero<usize> = arguments.next().as_deref().unwrap_or("1").parse()?;
    let runs: u32 = arguments.next().as_deref().unwrap_or("1").parse()?;
    let options = Options { threads, ..Options::default() };

    let mut best = Duration::MAX;
    let mut report = None;
    for _ in 0..runs {
        let begun = Instant::now();
        report = Some(read(&source, &options)?);
        best = best.min(begun.elapsed());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:.3} s with {threads} threads", best.as_secs_f64())?;
    writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    Ok(())
}
