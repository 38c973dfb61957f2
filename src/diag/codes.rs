//! The registry of diagnostic codes. `docs/errors.md` has one section per code; a test holds the two together.
//!
//! E01 syntax · E02 names · E03 units · E04 structure of equations · E05 reactions, events, conservation ·
//! E06 data and settings · E07 numerical failure · E08 files and command line · E09 not in this version · W lints.

use super::Severity;

/// A stable diagnostic code; compare and print it by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

impl Code {
    /// `W` codes are warnings, all others errors.
    pub fn severity(self) -> Severity {
        if self.0.starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// The one-line meaning in the registry.
    pub fn summary(self) -> &'static str {
        REGISTRY.iter().find(|(code, _)| *code == self.0).map_or("", |(_, text)| text)
    }

    /// The registered code with this text, upper or lower case.
    pub fn find(text: &str) -> Option<Code> {
        REGISTRY.iter().find(|(code, _)| code.eq_ignore_ascii_case(text)).map(|(code, _)| Code(code))
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Every code with its one-line meaning, sorted by code.
pub const REGISTRY: &[(&str, &str)] = &[
    ("E0101", "an expression or statement is not complete or not well formed"),
    ("E0102", "a unit needs brackets"),
    ("E0103", "a reaction has no rate"),
    ("E0104", "a block is never closed"),
    ("E0105", "a number is written in a form that is not read"),
    ("E0106", "a word is reserved and cannot be a name"),
    ("E0107", "a clause is repeated or stands where it has no meaning"),
    ("E0108", "a unit is written in a form that is not read"),
    ("E0110", "a source text is larger than the limit"),
    ("E0111", "a source text has more statements than the limit"),
    ("E0112", "nesting is deeper than the limit"),
    ("E0113", "an expression is larger than the limit after functions are expanded"),
    ("E0114", "the equations are larger than the limit"),
    ("E0201", "a name is not declared"),
    ("E0202", "a name is declared twice"),
    ("E0203", "an imported name or library is not found"),
    ("E0204", "imports are circular or too many"),
    ("E0205", "a name is of the wrong kind for its place"),
    ("E0206", "a function is called with the wrong arguments"),
    ("E0207", "definitions depend on each other in a circle"),
    ("E0208", "a word is not known here"),
    ("E0301", "two units do not agree"),
    ("E0302", "a function needs a pure number"),
    ("E0303", "a unit is not known"),
    ("E0304", "the unit of a name cannot be inferred"),
    ("E0305", "a unit is missing where every unit must be written"),
    ("E0306", "a temperature in degC is used where kelvin is meant"),
    ("E0307", "an exponent must be a constant pure number here"),
    ("E0401", "a state has no equation"),
    ("E0403", "a quantity has two equations"),
    ("E0404", "a species takes reactions or an equation, not both"),
    ("E0405", "an index is out of range"),
    ("E0406", "members of a family have no equation or two"),
    ("E0407", "a value must be a constant"),
    ("E0408", "a family is larger than the limit"),
    ("E0409", "a required part of a model or study is missing"),
    ("E0501", "a rate or rate constant has the wrong unit"),
    ("E0502", "a declared conservation law does not hold"),
    ("E0503", "a conservation law cannot be shown"),
    ("E0504", "a reaction's compartments do not fit its rate"),
    ("E0505", "assignments of simultaneous events conflict"),
    ("E0506", "an event assigns what cannot be assigned"),
    ("E0507", "an event's time must not depend on states"),
    ("E0508", "reactions cannot be counted one by one"),
    ("E0509", "a rate or condition changes continuously in time"),
    ("E0510", "there are more scheduled events than the limit"),
    ("E0511", "noise stands where it has no meaning"),
    ("E0601", "a data column is not there"),
    ("E0602", "a setting has the wrong type or range"),
    ("E0603", "a setting is not known"),
    ("E0604", "a data cell is not a finite number"),
    ("E0605", "a data file is empty or has a wholly empty row"),
    ("E0606", "a column does not fit what it is bound to"),
    ("E0607", "an estimated quantity has no bounds"),
    ("E0608", "a value lies outside its bounds"),
    ("E0609", "a distribution's arguments are out of range"),
    ("E0610", "a data file is larger than the limit or not text"),
    ("E0611", "the output asked for is larger than the limit"),
    ("E0612", "an input that is drawn has no limits"),
    ("E0613", "ranges contradict each other"),
    ("E0614", "a plant or belief does not fit its task"),
    ("E0615", "a constraint has no form that can be kept"),
    ("E0616", "a number of steps is out of range"),
    ("E0701", "the step size underflowed"),
    ("E0702", "a value overflowed or is not a number"),
    ("E0703", "the step limit was reached"),
    ("E0704", "events repeat without time going on"),
    ("E0705", "no start of a fit could be evaluated"),
    ("E0706", "a numeric assertion does not hold"),
    ("E0707", "no machine code can be made for the model"),
    ("E0708", "the rate of a counted reaction is negative or not a number"),
    ("E0709", "a count is negative"),
    ("E0710", "there is no steady state to start from"),
    ("E0711", "learning cannot go on"),
    ("E0801", "a file cannot be read"),
    ("E0802", "a file cannot be written"),
    ("E0803", "the name asked for is not in the file or not unique"),
    ("E0804", "a command-line value does not fit"),
    ("E0805", "an accepted snapshot differs or is missing"),
    ("E0806", "a policy or checkpoint does not fit"),
    ("E0901", "a word is not supported by this version"),
    ("W0101", "a parameter is never used"),
    ("W0102", "a start value lies outside its `in` range"),
    ("W0103", "much of a prior's mass lies outside the bounds"),
    ("W0104", "two real numbers are compared for equality"),
    ("W0105", "data rows were not sorted by time"),
    ("W0106", "an overridden parameter loses its prior"),
    ("W0107", "an expression jumps without an event"),
    ("W0108", "a state left its range of validity"),
    ("W0109", "a parameter cannot be identified from the observables"),
    ("W0110", "a value has no effect"),
    ("W0111", "a run starts at an unstable steady state"),
    ("W0112", "a planner does not foresee an event"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_is_sorted_and_unique() {
        assert!(REGISTRY.windows(2).all(|w| w[0].0 < w[1].0));
    }
}
