//! Files that are read, where `-` is the standard input.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::output::Failure;

/// Whether the standard input is meant.
pub(crate) fn is_standard(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// What a file is called in a message.
pub(crate) fn name(file: &Path) -> String {
    if is_standard(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// A file to be read to its end.
pub(crate) fn open(file: &Path) -> io::Result<Box<dyn Read>> {
    Ok(if is_standard(file) { Box::new(io::stdin().lock()) } else { Box::new(File::open(file)?) })
}

/// A whole file of text.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub(crate) fn text(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    open(file)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|error| Failure::input(format!("{}: {error}", name(file))))?;
    Ok(text)
}
