//! The registry of soft keywords: where each word may stand, what it speaks of, which clauses it takes, what its block
//! holds, and one line for the manual.
//!
//! The checker, completion, hover and the reference manual all read this one table; adding a word never changes the
//! grammar. A word that is `supported: false` is read and formatted, and the checker refuses it with E0901.

use super::ast::{ClauseKind, ClauseWord, Flag};

/// Where a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Outside every block.
    File,
    /// `model M { ... }`
    Model,
    /// `study S of M { ... }`
    Study,
    /// `task T of M { ... }`
    Task,
    /// `twin W of M { ... }`
    Twin,
    /// `experiment e { ... }`
    Experiment,
    /// `data "f.csv" { ... }`: bindings only.
    Data,
    /// `at`, `every`, `when`: assignments only.
    Event,
    /// `param { ... }` and its like: entries without the word.
    Group,
    /// `fit method { ... }`: settings of the method.
    Fit,
    /// `simulate { ... }`: settings, `step`, `hold`, forcing.
    Simulate,
    /// `sweep p in a .. b { ... }`: settings.
    Sweep,
    /// `report { ... }`: settings.
    Report,
    /// Settings of an algorithm: `key = value` and blocks of further settings.
    Settings,
    /// `port Fluid { ... }`
    Port,
}

impl Context {
    /// Where that is, for people.
    pub fn phrase(self) -> &'static str {
        match self {
            Context::File => "at file level",
            Context::Model => "inside a model",
            Context::Study => "inside a study",
            Context::Task => "inside a task",
            Context::Twin => "inside a twin",
            Context::Experiment => "inside an experiment",
            Context::Data => "inside `data`",
            Context::Event => "inside an event",
            Context::Group => "inside a group",
            Context::Fit => "inside `fit`",
            Context::Simulate => "inside `simulate`",
            Context::Sweep => "inside `sweep`",
            Context::Report => "inside `report`",
            Context::Settings => "among settings",
            Context::Port => "inside a port",
        }
    }
}

/// What stands right behind a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Nothing.
    None,
    /// One name, or a family member `h(i)`.
    Name,
    /// One name, or nothing.
    OptionalName,
    /// Names (or dotted paths) separated by commas.
    Names,
    /// A head `f(x, y)`.
    Call,
    /// One expression.
    Expr,
    /// One or more expressions.
    Exprs,
    /// `label: condition`, the label where it is wanted.
    Condition,
    /// A quoted text.
    Text,
    /// A reaction; the word may be left out.
    Reaction,
}

/// A kind of clause, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `[mM]`
    Unit,
    /// `@ k`
    Rates,
    /// `= value`
    Init,
    /// `in a .. b`, `in [a, b]`
    In,
    /// `~ Normal(...)`
    Dist,
    /// `for i in 1 .. 4`
    Family,
    /// A clause word.
    Word(ClauseWord),
    /// A flag.
    Flag(Flag),
    /// `"doc"`
    Doc,
}

impl Shape {
    /// The kind of a clause.
    pub fn of(kind: &ClauseKind) -> Shape {
        match kind {
            ClauseKind::Unit(_) => Shape::Unit,
            ClauseKind::Rates(_) => Shape::Rates,
            ClauseKind::Init(_) => Shape::Init,
            ClauseKind::Range { .. } | ClauseKind::Choices(_) => Shape::In,
            ClauseKind::Dist(_) => Shape::Dist,
            ClauseKind::Family(_) => Shape::Family,
            ClauseKind::Word(word, _) => Shape::Word(*word),
            ClauseKind::Flag(flag) => Shape::Flag(*flag),
            ClauseKind::Doc(_) => Shape::Doc,
        }
    }

    /// How a user names it: `=`, `in`, `rate`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            Shape::Unit => "[unit]",
            Shape::Rates => "@",
            Shape::Init => "=",
            Shape::In => "in",
            Shape::Dist => "~",
            Shape::Family => "for",
            Shape::Word(word) => word.as_str(),
            Shape::Flag(flag) => flag.as_str(),
            Shape::Doc => "\"text\"",
        }
    }
}

/// A soft keyword in some contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// As written.
    pub word: &'static str,
    /// Where it may stand.
    pub contexts: &'static [Context],
    /// What stands behind it.
    pub subject: Subject,
    /// The clauses it takes, each at most once (`for` as often as there are indices).
    pub clauses: &'static [Shape],
    /// What its block holds; `None` where it has none.
    pub block: Option<Context>,
    /// One line for the manual.
    pub doc: &'static str,
    /// False where this version refuses it (E0901).
    pub supported: bool,
}

/// The word in this context.
pub fn find(context: Context, word: &str) -> Option<&'static Word> {
    WORDS.iter().find(|w| w.word == word && w.contexts.contains(&context))
}

/// All words that may stand in a context, in the order of the manual.
pub fn in_context(context: Context) -> impl Iterator<Item = &'static Word> {
    WORDS.iter().filter(move |w| w.contexts.contains(&context))
}

/// All entries of a word, for "`observe` belongs into a model".
pub fn anywhere(word: &str) -> impl Iterator<Item = &'static Word> {
    WORDS.iter().filter(move |w| w.word == word)
}

/// True where the word's block holds entries without the word.
pub fn opens_group(word: &str) -> bool {
    anywhere(word).any(|w| w.block == Some(Context::Group))
}

/// True where a name must stand behind the word.
pub(super) fn declares(word: &str) -> bool {
    anywhere(word).any(|w| matches!(w.subject, Subject::Name | Subject::Names | Subject::Call))
}

use Context::{
    Data, Event, Experiment, File, Fit, Group, Model, Port, Report, Settings, Simulate, Study, Sweep, Task, Twin,
};
use Shape::{Dist, Doc, Family, In, Init, Unit};

const OF: Shape = Shape::Word(ClauseWord::Of);
const FROM: Shape = Shape::Word(ClauseWord::From);
const TO: Shape = Shape::Word(ClauseWord::To);
const BY: Shape = Shape::Word(ClauseWord::By);
const SOFT: Shape = Shape::Word(ClauseWord::Soft);
const GUESS: Shape = Shape::Word(ClauseWord::Guess);
const WEIGHT: Shape = Shape::Word(ClauseWord::Weight);
const SCALE: Shape = Shape::Word(ClauseWord::Scale);
const PROBABILITY: Shape = Shape::Word(ClauseWord::Probability);
const PENALTY: Shape = Shape::Word(ClauseWord::Penalty);
const HOLDING: Shape = Shape::Word(ClauseWord::Holding);
const WITHIN: Shape = Shape::Word(ClauseWord::Within);
const WHEN: Shape = Shape::Word(ClauseWord::When);
const UNTIL: Shape = Shape::Word(ClauseWord::Until);
const RATE: Shape = Shape::Word(ClauseWord::Rate);
const VIA: Shape = Shape::Word(ClauseWord::Via);
const FIXED: Shape = Shape::Flag(Flag::Fixed);
const FINAL: Shape = Shape::Flag(Flag::Final);
const LOG: Shape = Shape::Flag(Flag::Log);
const LINEAR: Shape = Shape::Flag(Flag::Linear);
const QUADRATIC: Shape = Shape::Flag(Flag::Quadratic);
const TIMES: Shape = Shape::Word(ClauseWord::Times);

const fn row(
    word: &'static str,
    contexts: &'static [Context],
    subject: Subject,
    clauses: &'static [Shape],
    block: Option<Context>,
    doc: &'static str,
) -> Word {
    Word { word, contexts, subject, clauses, block, doc, supported: true }
}

const fn later(
    word: &'static str,
    contexts: &'static [Context],
    subject: Subject,
    clauses: &'static [Shape],
    block: Option<Context>,
    doc: &'static str,
) -> Word {
    Word { word, contexts, subject, clauses, block, doc, supported: false }
}

use Subject as S;

/// Every word; the order is that of the manual.
#[rustfmt::skip]
pub const WORDS: &[Word] = &[
    // -- a file ------------------------------------------------------------------------------------------------------
    row("model", &[File], S::Name, &[Init, Doc], Some(Model), "physics, sensors, validity and safe sets"),
    row("study", &[File], S::Name, &[OF, Doc], Some(Study), "one reproducible run: data, what to estimate, settings"),
    row("use", &[File, Model], S::Names, &[FROM], None, "names from a library or another file"),
    row("fn", &[File, Model], S::Call, &[Unit, Init, Doc], None, "a function of its arguments alone"),
    row("unit", &[File, Model], S::Name, &[Init, Doc], None, "a unit; without `=` a new base dimension"),
    row("task", &[File], S::Name, &[OF, Doc], Some(Task), "what good means: step, cost, reward, constraints"),
    later("twin", &[File], S::Name, &[OF, Doc], Some(Twin), "one deployed asset, kept live"),
    later("port", &[File], S::Name, &[Doc], Some(Port), "quantities that two parts share where they connect"),
    later("across", &[Port], S::Name, &[Unit, Doc], None, "equal on both sides of a connection"),
    later("flow", &[Port], S::Name, &[Unit, Doc], None, "sums to zero over a connection, positive into the part"),
    // -- a model -----------------------------------------------------------------------------------------------------
    row("time", &[Model], S::None, &[Unit, Doc], None, "the unit of time"),
    row("const", &[File, Model], S::Name, &[Unit, Init, Family, Doc], Some(Group), "a value folded into the equations"),
    row(
        "param",
        &[Model],
        S::Name,
        &[Unit, Init, In, Dist, Family, LOG, LINEAR, Doc],
        Some(Group),
        "a value that may be set, fitted or randomised",
    ),
    row("compartment", &[Model], S::Name, &[Unit, Init, In, Doc], Some(Group), "a volume that species stand in"),
    row(
        "species",
        &[Model],
        S::Name,
        &[Unit, Init, In, OF, Family, FIXED, Doc],
        Some(Group),
        "a quantity moved by reactions",
    ),
    row(
        "state",
        &[Model],
        S::Name,
        &[Unit, Init, In, Family, Doc],
        Some(Group),
        "a quantity with an equation `x' = ...`",
    ),
    row(
        "discrete",
        &[Model],
        S::Name,
        &[Unit, Init, In, Family, Doc],
        Some(Group),
        "a quantity changed by events only",
    ),
    row("let", &[Model], S::Name, &[Unit, Init, Family, Doc], Some(Group), "a named expression"),
    row(
        "input",
        &[Model],
        S::Name,
        &[Unit, Init, In, Family, Doc],
        Some(Group),
        "a quantity that is decided; `in` gives the actuator's limits",
    ),
    row(
        "disturbance",
        &[Model],
        S::Name,
        &[Unit, Init, In, Family, Doc],
        Some(Group),
        "a quantity that is known or measured, not decided",
    ),
    row("reaction", &[Model], S::Reaction, &[Shape::Rates, RATE, Family, Doc], Some(Group), "moves species at a rate"),
    row("conserved", &[Model], S::Expr, &[Doc], None, "an expression that is proved to stay constant"),
    row(
        "observe",
        &[Model],
        S::Name,
        &[Unit, Init, Dist, Family, Doc],
        Some(Group),
        "what is measured, with its error",
    ),
    row("safe", &[Model], S::Condition, &[Doc], Some(Group), "a named condition that should hold"),
    row("at", &[Model, Study, Experiment], S::Expr, &[Doc], Some(Event), "an event at a time"),
    row("every", &[Model, Study, Experiment], S::Expr, &[FROM, UNTIL, Doc], Some(Event), "an event at regular times"),
    row("when", &[Model, Study, Experiment], S::Expr, &[Doc], Some(Event), "an event where a condition becomes true"),
    row("expect", &[Model], S::Expr, &[Init, WITHIN, Doc], None, "a number that `twinc test` checks"),
    row("noise", &[Model], S::Names, &[Family, Doc], None, "a Wiener process, used as `w'`"),
    later("var", &[Model], S::Name, &[Unit, GUESS, In, Family, Doc], Some(Group), "an unknown solved from `eq`"),
    later("eq", &[Model], S::Expr, &[Init, Family, Doc], None, "an algebraic equation"),
    later("net", &[Model], S::Call, &[Unit, Family, Doc], Some(Settings), "a learned function"),
    later("port", &[Model], S::Name, &[OF, Doc], None, "a place to connect"),
    later("part", &[Model], S::Name, &[Init, Doc], None, "a model inside this one"),
    later("connect", &[Model], S::Expr, &[TO, Doc], None, "joins ports"),
    // -- a study -----------------------------------------------------------------------------------------------------
    row("data", &[Study, Experiment], S::Text, &[BY], Some(Data), "a CSV file and what its columns are"),
    row("experiment", &[Study], S::Name, &[Doc], Some(Experiment), "conditions and data of one experiment"),
    row(
        "start",
        &[Study, Experiment],
        S::Name,
        &[Init, Dist],
        None,
        "the start value of a state, or the value of a parameter or input",
    ),
    row("estimate", &[Study], S::Names, &[In, Dist, LOG, LINEAR], None, "parameters that a fit finds"),
    row("fit", &[Study], S::OptionalName, &[], Some(Fit), "how parameters are found"),
    row("simulate", &[Study], S::None, &[], Some(Simulate), "how a trajectory is computed"),
    row("sweep", &[Study], S::Names, &[In, LOG, LINEAR], Some(Sweep), "simulations over a range of values"),
    row("report", &[Study], S::None, &[], Some(Report), "what is written"),
    row("step", &[Simulate], S::Expr, &[VIA], None, "a fixed step and the method that takes it"),
    row("hold", &[Simulate], S::Names, &[], None, "quantities held over each step"),
    row("plant", &[Study], S::Name, &[], None, "the model that is acted on"),
    row("belief", &[Study], S::Name, &[], None, "the model that the controller believes"),
    row("randomize", &[Study], S::Names, &[In, Dist, WITHIN], None, "parameters of the plant, drawn anew for each episode"),
    row("algorithm", &[Study], S::Name, &[], Some(Settings), "what plans"),
    row("filter", &[Study], S::Name, &[], Some(Settings), "what estimates the state from what is sensed"),
    row("hide", &[Study], S::Names, &[], None, "disturbances that the controller does not know"),
    row("scenario", &[Study], S::Names, &[In, Dist], None, "values of a parameter that a plan is to hold for"),
    row("budget", &[Study], S::None, &[], Some(Settings), "how many episodes, and their seeds"),
    row("loop", &[Study], S::None, &[], Some(Settings), "what stands between the plant and its controller"),
    row("stop", &[Study], S::None, &[WHEN], None, "ends the run for safety"),
    row("evaluate", &[Study], S::None, &[], Some(Settings), "how what was trained is judged"),
    // -- a task ------------------------------------------------------------------------------------------------------
    row("step", &[Task], S::Expr, &[In, GUESS, VIA, TIMES], None, "the time between two actions"),
    row("episode", &[Task], S::Expr, &[TIMES], None, "the length of an episode"),
    row("start", &[Task], S::Name, &[Init, Dist], None, "the start of an episode; of an input, what acted before"),
    row("sense", &[Task], S::Exprs, &[], None, "what the controller sees"),
    row("act", &[Task], S::Names, &[In, Family], None, "what the controller decides"),
    row("cost", &[Task], S::Expr, &[WEIGHT, SCALE, Family, Doc], None, "a term of the cost of a step"),
    row("terminal", &[Task], S::Expr, &[WEIGHT, SCALE, Family, Doc], None, "a term of the cost of the end"),
    row("track", &[Task], S::Expr, &[TO, WEIGHT, SCALE, Family, Doc], None, "a reference to follow"),
    row("move", &[Task], S::Name, &[WEIGHT, SCALE, Family, Doc], None, "the cost of changing an input"),
    row(
        "keep",
        &[Task],
        S::Expr,
        &[In, SOFT, LINEAR, QUADRATIC, PROBABILITY, FINAL, Family, Doc],
        None,
        "a constraint",
    ),
    row("reward", &[Task], S::Expr, &[Doc], None, "the reward of a step"),
    row("fail", &[Task], S::None, &[WHEN, PENALTY, Doc], None, "ends an episode as a failure"),
    row("done", &[Task], S::None, &[WHEN, Doc], None, "ends an episode well"),
    row("hold", &[Task], S::Names, &[], None, "quantities held over a step"),
    row("relax", &[Task, Settings], S::Name, &[In], None, "lets a planner plan wider than the actuator"),
    row("at", &[Task], S::Expr, &[], Some(Event), "an event at a time"),
    row("every", &[Task], S::Expr, &[FROM, UNTIL], Some(Event), "an event at regular times"),
    row("when", &[Task], S::Expr, &[], Some(Event), "an event where a condition becomes true"),
    // -- a twin ------------------------------------------------------------------------------------------------------
    later("source", &[Twin], S::Name, &[Doc], Some(Data), "where measurements come from"),
    later("filter", &[Twin], S::Name, &[], Some(Settings), "how the state is estimated"),
    later("estimate", &[Twin], S::Names, &[In, Dist], None, "parameters estimated beside the state"),
    later("alarm", &[Twin], S::Name, &[WHEN, HOLDING], None, "a condition to be told of"),
    later("life", &[Twin], S::Condition, &[HOLDING], None, "a condition whose end is predicted"),
    later("control", &[Twin], S::Name, &[VIA], Some(Settings), "the task that is controlled"),
    later("command", &[Twin], S::None, &[], Some(Data), "where decisions go"),
    later("log", &[Twin], S::None, &[], Some(Settings), "what is kept"),
    later("serve", &[Twin], S::None, &[], Some(Settings), "the interface to others"),
];

/// Every kind of clause: how it is written and what it means everywhere.
pub const CLAUSES: &[(Shape, &str, &str)] = &[
    (Unit, "[mM]", "the unit"),
    (Init, "= 5 [mM]", "the value"),
    (In, "in 0 .. 10", "the domain: bounds of a fit, limits of an actuator, validity of a state"),
    (Dist, "~ LogNormal(median = 1, gsd = 3)", "a distribution: prior of a fit, spread, or measurement error"),
    (Shape::Rates, "@ kf, kr", "mass action with these constants"),
    (RATE, "rate Vmax*S/(Km + S)", "the full rate law"),
    (Family, "for i in 1 .. 4", "one for each value of the index"),
    (OF, "of MichaelisMenten", "what it belongs to"),
    (FROM, "from std.kinetics", "where it comes from, or the first time"),
    (UNTIL, "until 48 [h]", "the last time, inclusive"),
    (TO, "to drain.a, pump.b", "the other end"),
    (BY, "by run", "one experiment for each value of a column"),
    (TIMES, "times 180.16 [g/mol]", "a factor on a column; how many steps or substeps"),
    (VIA, "via rodas5p", "the method that does it"),
    (WITHIN, "within 1e-6", "how far a number may be off"),
    (WHEN, "when T > 150 [degC]", "the condition"),
    (HOLDING, "holding 30 [d]", "how long a condition must hold"),
    (WEIGHT, "weight 0.1", "a factor on a cost"),
    (SCALE, "scale 100 [1/h]", "the size of a typical change"),
    (SOFT, "soft 100", "a constraint that may be broken at this price"),
    (PENALTY, "penalty 1e5", "the price of failing"),
    (PROBABILITY, "probability 0.95", "how probably a constraint is kept"),
    (GUESS, "guess 1 [bar]", "where the search for an unknown starts"),
    (FIXED, "fixed", "a boundary species: in laws, not moved"),
    (Shape::Flag(Flag::Initial), "initial", "a column that gives start values"),
    (FINAL, "final", "at the end only"),
    (LOG, "log", "on a logarithmic scale"),
    (LINEAR, "linear", "on a linear scale, interpolated between rows, or priced by the excess"),
    (QUADRATIC, "quadratic", "priced by the square of the excess"),
    (Doc, "\"turnover\"", "what it is, for people"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_once_in_each_context() {
        for (i, a) in WORDS.iter().enumerate() {
            for b in &WORDS[i + 1..] {
                let shared = a.contexts.iter().any(|c| b.contexts.contains(c));
                assert!(a.word != b.word || !shared, "`{}` stands twice in one context", a.word);
            }
        }
    }

    #[test]
    fn every_clause_of_a_word_is_documented() {
        for word in WORDS {
            for clause in word.clauses {
                assert!(CLAUSES.iter().any(|(c, _, _)| c == clause), "`{}` of `{}`", clause.as_str(), word.word);
            }
        }
    }

    #[test]
    fn tells_groups_from_other_blocks() {
        assert!(opens_group("param") && opens_group("species") && !opens_group("model") && !opens_group("at"));
        assert_eq!(find(Context::Study, "observe"), None);
        assert!(find(Context::Task, "cost").is_some_and(|w| w.supported));
    }
}
