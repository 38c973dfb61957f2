//! How a verb ends: the exit codes, and the failure that carries diagnostics up to them.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | diagnostics, a failed assertion, `fmt --check` found a difference |
//! | 2 | usage or configuration: the command line, a file that cannot be read or written (E0801–E0804, E0806, E0110, E0610) |
//! | 3 | numerical failure or no convergence (E07) |
//! | 4 | stopped for safety |
//! | 101 | a fault of twinc itself; a report was written |
//! | 130 | interrupted; everything finished before is kept |

use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Fine,
    /// Diagnostics were found, or a check failed.
    Findings,
    /// The command line, the configuration or a named file does not fit.
    Usage,
    /// The numbers did not come out.
    Numerics,
    /// A `stop` of the study held.
    Safety,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number handed to the shell.
    pub fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Numerics => 3,
            Exit::Safety => 4,
            Exit::Interrupted => 130,
        }
    }

    /// Of two things that ended, the one that needs more attention.
    pub fn worse(self, other: Exit) -> Exit {
        if other.code() > self.code() { other } else { self }
    }

    /// The ending that a diagnostic of this code calls for. A file that is missing, too large or no text is one kind of
    /// mistake, whatever was to be read from it.
    pub fn of(code: Code) -> Exit {
        match code.0 {
            "E0801" | "E0802" | "E0803" | "E0804" | "E0806" | "E0110" | "E0610" => Exit::Usage,
            text if text.starts_with("E07") && text != "E0706" => Exit::Numerics,
            text if text.starts_with('W') => Exit::Fine,
            _ => Exit::Findings,
        }
    }
}

/// Why a verb stopped before its end.
#[derive(Debug, Clone)]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// What to tell the user.
    pub diagnostics: Diagnostics,
}

impl Failure {
    /// A failure without a place in a text; the exit follows from the code.
    pub fn new(code: &'static str, title: impl Into<String>) -> Failure {
        let code = Code(code);
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(unplaced(code, title));
        Failure { exit: Exit::of(code), diagnostics }
    }

    /// Says what to do instead.
    pub fn help(mut self, text: impl Into<String>) -> Failure {
        let mut list: Vec<Diagnostic> = std::mem::take(&mut self.diagnostics).into_iter().collect();
        if let Some(last) = list.last_mut() {
            last.help = Some(text.into());
        }
        for diagnostic in list {
            self.diagnostics.push(diagnostic);
        }
        self
    }

    /// The same failure as a mistake of the command line, where what it found stands there.
    pub fn of_usage(self) -> Failure {
        let exit = if self.exit == Exit::Findings { Exit::Usage } else { self.exit };
        Failure { exit, ..self }
    }

    /// The failure that the errors among `diagnostics` amount to.
    pub fn from_diagnostics(diagnostics: Diagnostics) -> Failure {
        Failure { exit: exit_of(&diagnostics), diagnostics }
    }
}

/// The ending that a list of diagnostics calls for: the first error decides.
pub fn exit_of(diagnostics: &Diagnostics) -> Exit {
    diagnostics.iter().find(|d| d.severity == Severity::Error).map_or(Exit::Fine, |d| Exit::of(d.code))
}

/// A diagnostic about something that is not a text: it has no labels, so it is only ever rendered.
pub fn unplaced(code: Code, title: impl Into<String>) -> Diagnostic {
    Diagnostic {
        code,
        severity: code.severity(),
        title: title.into(),
        labels: Vec::new(),
        help: None,
        notes: Vec::new(),
        fix: None,
    }
}
