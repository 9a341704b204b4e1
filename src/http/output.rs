//! A download that appears under its name when it is complete, and not before.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::form::random_hex;

/// A file under a temporary name beside the final one. Dropped before it is complete, it is removed.
pub struct OutputFile {
    file: File,
    temporary: PathBuf,
    name: PathBuf,
    complete: bool,
}

impl OutputFile {
    pub fn create(name: impl AsRef<Path>) -> Result<OutputFile, Error> {
        let name = name.as_ref().to_path_buf();
        let usable = match std::fs::metadata(&name) {
            Ok(there) => there.is_file(),
            Err(_) => name.file_name().is_some(),
        };
        if !usable {
            // A device or a pipe would be replaced by the file; a folder could not be.
            let text = format!("Cannot write the output to {}: it is no regular file", name.display());
            return Err(Error::new(ErrorKind::Request, text));
        }
        let mut temporary = name.clone().into_os_string();
        temporary.push(format!(".{}.part", random_hex(1)));
        let temporary = PathBuf::from(temporary);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(|error| {
            Error::os(
                ErrorKind::Request,
                format!("Cannot create the output file {}", temporary.display()),
                &error,
            )
        })?;
        Ok(OutputFile { file, temporary, name, complete: false })
    }

    pub fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        self.file.write_all(data).map_err(|error| self.failed("write", &error))
    }

    /// Gives the file its name.
    pub fn complete(mut self) -> Result<(), Error> {
        std::fs::rename(&self.temporary, &self.name).map_err(|error| self.failed("rename", &error))?;
        self.complete = true;
        Ok(())
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> Error {
        Error::os(ErrorKind::Request, format!("Cannot {what} the output file {}", self.name.display()), error)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.complete {
            // It is of no use to anyone, and if it cannot be removed there is nobody to tell.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
