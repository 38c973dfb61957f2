//! A table that leaves as it is made: run after run to standard output or into a file.

use super::console::Console;
use super::failure::Failure;
use super::files::Growing;
use super::outlet::Outlet;
use std::time::{Duration, Instant};

/// Bytes that are gathered before they are handed on, ...
const FULL: usize = 256 << 10;
/// ... and how long they wait at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// An open place.
pub struct Stream {
    /// `None` is standard output.
    file: Option<Growing>,
    waiting: Vec<u8>,
    since: Instant,
}

impl Stream {
    /// Opens the place.
    ///
    /// # Errors
    /// E0802 with the place.
    pub fn open(outlet: &Outlet) -> Result<Stream, Failure> {
        let file = match outlet {
            Outlet::Stdout => None,
            Outlet::File(path) => Some(Growing::create(path).map_err(|why| Failure::new("E0802", why))?),
        };
        Ok(Stream { file, waiting: Vec::with_capacity(FULL), since: Instant::now() })
    }

    /// Adds a piece of text.
    ///
    /// # Errors
    /// E0802 with the place.
    pub fn add(&mut self, text: &str, console: &mut Console) -> Result<(), Failure> {
        self.waiting.extend_from_slice(text.as_bytes());
        if self.waiting.len() >= FULL || self.since.elapsed() >= PATIENCE { self.hand_on(console) } else { Ok(()) }
    }

    /// True where nobody reads any more.
    pub fn is_closed(&self, console: &Console) -> bool {
        self.file.is_none() && console.is_closed()
    }

    /// Hands on what waits and puts a file in its place.
    ///
    /// # Errors
    /// E0802 with the place.
    pub fn finish(mut self, console: &mut Console) -> Result<(), Failure> {
        self.hand_on(console)?;
        match self.file {
            Some(file) => file.finish().map_err(|why| Failure::new("E0802", why)),
            None => Ok(()),
        }
    }

    fn hand_on(&mut self, console: &mut Console) -> Result<(), Failure> {
        let done = match &mut self.file {
            Some(file) => file.write(&self.waiting).map_err(|why| Failure::new("E0802", why)),
            None => console.data(&self.waiting),
        };
        self.waiting.clear();
        self.since = Instant::now();
        done
    }
}
