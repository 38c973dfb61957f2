//! The syntax tree: every statement of a `.twin` text with its spans and comments, before any meaning is given to it.

use crate::source::Span;

/// An identifier as written (without backticks).
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The name; backticks removed.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A dotted name `a.b.c`; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// The segments.
    pub segments: Vec<Name>,
    /// From the first to the last segment.
    pub span: Span,
}

/// The text between the brackets of a unit, such as `kJ/(mol*K)`; [`crate::units`] reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitText {
    /// Without brackets, as written.
    pub text: String,
    /// Without brackets.
    pub span: Span,
}

/// A string literal, quotes removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// The characters between the quotes.
    pub text: String,
    /// With the quotes.
    pub span: Span,
}

/// A whole text.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// In order; bad lines are left out (they are diagnostics).
    pub statements: Vec<Statement>,
    /// Every comment, in order, for the formatter.
    pub comments: Vec<Comment>,
    /// Byte offset of the start of every line, for the formatter; empty for a tree that was not read from a text.
    pub line_starts: Vec<u32>,
    /// Names that stand in statements left out: what is missing about them is no further mistake.
    pub unread: Vec<Name>,
    /// The whole text.
    pub span: Span,
}

/// `# ...` without its line end.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// With the `#`, trailing blanks removed.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// True where code stands before it on its line.
    pub is_trailing: bool,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Which form it has.
    pub kind: StatementKind,
    /// Without the line end and without trailing blanks or comments.
    pub span: Span,
}

/// The forms of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    /// `x' = e`, `h(i)' = e for i in 1 .. 4`
    Ode(Ode),
    /// `x := e`, `x += e`, `x -= e`, `x *= e`
    Assign(Assign),
    /// `time <- t_min [min]`, `Q_dot -> "set/cooling" [kJ/h]`
    Bind(Bind),
    /// `bind: E + S <-> ES @ kon, koff`
    Reaction(Reaction),
    /// `key = value clauses`
    Setting(Setting),
    /// `word subjects clauses block`, also an entry of a group block: `kon [1/s] = 2`
    Directive(Directive),
    /// `hot: T_R <= 140 [degC]`
    Labelled(Labelled),
}

/// `x' = e`
#[derive(Debug, Clone, PartialEq)]
pub struct Ode {
    /// The differentiated quantity.
    pub target: Path,
    /// The index expressions of `h(i)'`; empty for a plain state.
    pub indices: Vec<Expr>,
    /// The right-hand side.
    pub rhs: Expr,
    /// `for i in a .. b`
    pub families: Vec<Family>,
    /// Trailing `"doc"`.
    pub doc: Option<Text>,
}

/// What an event assignment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignOp {
    /// `:=`
    Set,
    /// `+=`
    Add,
    /// `-=`
    Subtract,
    /// `*=`
    Multiply,
}

/// An event assignment; only inside `at`, `every`, `when`.
#[derive(Debug, Clone, PartialEq)]
pub struct Assign {
    /// The assigned quantity.
    pub target: Path,
    /// The index expressions of `h(3) := ...`; empty for a plain name.
    pub indices: Vec<Expr>,
    /// The operation.
    pub op: AssignOp,
    /// Sees values before the event.
    pub value: Expr,
}

/// The two directions of a binding.
#[derive(Debug, Clone, PartialEq)]
pub enum BindSource {
    /// `<- column` (a name or dotted path)
    FromPath(Path),
    /// `<- "column name"`
    FromText(Text),
    /// `-> "topic"`
    ToText(Text),
}

/// `quantity <- column [unit] clauses`
#[derive(Debug, Clone, PartialEq)]
pub struct Bind {
    /// The quantity of the model, or `time`.
    pub target: Path,
    /// The column or topic.
    pub source: BindSource,
    /// Unit, `initial`, `times`, `linear`, ...
    pub clauses: Vec<Clause>,
}

/// A reaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaction {
    /// `bind:`
    pub label: Option<Name>,
    /// Left side; empty for `0`.
    pub reactants: Vec<Term>,
    /// Right side; empty for `0`.
    pub products: Vec<Term>,
    /// True for `<->`.
    pub is_reversible: bool,
    /// Where the arrow stands.
    pub arrow: Span,
    /// `@` constants, `rate` laws, doc, family, flags.
    pub clauses: Vec<Clause>,
}

/// `2 A`, `h(i)`
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// The stoichiometric coefficient; 1 where none is written.
    pub coefficient: f64,
    /// The species.
    pub species: Path,
    /// Index expressions of a family member; empty for a plain species.
    pub indices: Vec<Expr>,
    /// The whole term.
    pub span: Span,
}

/// `key = value clauses`
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The key, or the name declared in a group block.
    pub name: Name,
    /// Its value.
    pub value: Value,
    /// Further clauses (`~ Uniform(0, 1)`, `in 0 .. 1`, doc).
    pub clauses: Vec<Clause>,
}

/// `word [label:] subjects clauses [block]`
#[derive(Debug, Clone, PartialEq)]
pub struct Directive {
    /// The soft keyword, or the declared name inside a group block.
    pub word: Name,
    /// Index names directly behind the word of a group-block entry: `h(i) [m] = 1 for i in 1 .. 4`; empty elsewhere.
    pub indices: Vec<Expr>,
    /// `safe hot: ...`
    pub label: Option<Name>,
    /// What the word speaks of.
    pub subjects: Vec<Expr>,
    /// In the order written, each kind at most once unless the registry allows more.
    pub clauses: Vec<Clause>,
    /// `{ ... }`
    pub block: Option<Block>,
}

/// `name: expr clauses`
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// The label.
    pub label: Name,
    /// The expression.
    pub expr: Expr,
    /// Clauses.
    pub clauses: Vec<Clause>,
}

/// `{ statements }`
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// In order.
    pub statements: Vec<Statement>,
    /// From `{` to `}`.
    pub span: Span,
}

/// `for i in a .. b`
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The index.
    pub index: Name,
    /// First value.
    pub from: Expr,
    /// Last value, inclusive.
    pub to: Expr,
    /// The whole clause.
    pub span: Span,
}

/// A clause with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// Which clause.
    pub kind: ClauseKind,
    /// The whole clause, keyword or sign included.
    pub span: Span,
}

/// The words that start a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ClauseWord {
    Of,
    From,
    To,
    By,
    Soft,
    Guess,
    Weight,
    Scale,
    Penalty,
    Probability,
    Times,
    Holding,
    Within,
    When,
    Until,
    Rate,
    Via,
}

impl ClauseWord {
    /// Every clause word with its text.
    pub const ALL: [(&'static str, ClauseWord); 17] = [
        ("of", ClauseWord::Of),
        ("from", ClauseWord::From),
        ("to", ClauseWord::To),
        ("by", ClauseWord::By),
        ("soft", ClauseWord::Soft),
        ("guess", ClauseWord::Guess),
        ("weight", ClauseWord::Weight),
        ("scale", ClauseWord::Scale),
        ("penalty", ClauseWord::Penalty),
        ("probability", ClauseWord::Probability),
        ("times", ClauseWord::Times),
        ("holding", ClauseWord::Holding),
        ("within", ClauseWord::Within),
        ("when", ClauseWord::When),
        ("until", ClauseWord::Until),
        ("rate", ClauseWord::Rate),
        ("via", ClauseWord::Via),
    ];

    /// The word with this text.
    pub fn find(text: &str) -> Option<ClauseWord> {
        Self::ALL.iter().find(|(t, _)| *t == text).map(|(_, word)| *word)
    }

    /// As written.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, word)| *word == self).map_or("", |(text, _)| text)
    }
}

/// The words that stand alone as a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Flag {
    Fixed,
    Initial,
    Final,
    Log,
    Linear,
    Quadratic,
}

impl Flag {
    /// Every flag with its text.
    pub const ALL: [(&'static str, Flag); 6] = [
        ("fixed", Flag::Fixed),
        ("initial", Flag::Initial),
        ("final", Flag::Final),
        ("log", Flag::Log),
        ("linear", Flag::Linear),
        ("quadratic", Flag::Quadratic),
    ];

    /// The flag with this text.
    pub fn find(text: &str) -> Option<Flag> {
        Self::ALL.iter().find(|(t, _)| *t == text).map(|(_, flag)| *flag)
    }

    /// As written.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, flag)| *flag == self).map_or("", |(text, _)| text)
    }
}

/// What a clause says.
#[derive(Debug, Clone, PartialEq)]
pub enum ClauseKind {
    /// `[mM]`
    Unit(UnitText),
    /// `@ kf, kr`
    Rates(Vec<Expr>),
    /// `= value`
    Init(Value),
    /// `in a .. b`; an open end is `None`
    Range { low: Option<Expr>, high: Option<Expr> },
    /// `in [a, b, c]`
    Choices(Vec<Value>),
    /// `~ Distribution(...)`
    Dist(Expr),
    /// `for i in a .. b`
    Family(Family),
    /// `rate e`, `from e`, `via rodas5p`, ...
    Word(ClauseWord, Vec<Expr>),
    /// `fixed`, `initial`, ...
    Flag(Flag),
    /// `"doc"`
    Doc(Text),
}

/// An expression or a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One expression.
    Expr(Expr),
    /// `[a, b, c]`
    List(Vec<Value>, Span),
}

impl Value {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Value::Expr(expr) => expr.span,
            Value::List(_, span) => *span,
        }
    }
}

/// An expression with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Which expression.
    pub kind: ExprKind,
    /// Without surrounding blanks; parentheses included only where they are the expression (`Paren`).
    pub span: Span,
}

/// Prefix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrefixOp {
    /// `-a`
    Neg,
    /// `not a`
    Not,
}

/// Infix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum InfixOp {
    Or,
    And,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
}

/// The forms of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `5`, `5 [mM]`
    Quantity { value: f64, unit: Option<UnitText> },
    /// `"text"`
    Text(String),
    /// `a.b`
    Path(Path),
    /// `x'`, `h(i)'`
    Derivative { target: Path, indices: Vec<Expr> },
    /// `f(a, k = 2)`, and `h(i)` for a member of a family
    Call { function: Path, args: Vec<Arg> },
    /// `-a`
    Prefix { op: PrefixOp, operand: Box<Expr> },
    /// `a + b`
    Infix { op: InfixOp, op_span: Span, left: Box<Expr>, right: Box<Expr> },
    /// `if c then a else b`
    If { condition: Box<Expr>, then: Box<Expr>, otherwise: Box<Expr> },
    /// `(a)`; kept so that the formatter keeps what was written
    Paren(Box<Expr>),
}

impl PrefixOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            PrefixOp::Neg => "-",
            PrefixOp::Not => "not",
        }
    }

    /// How tightly it binds; see [`InfixOp::precedence`].
    pub fn precedence(self) -> u8 {
        match self {
            PrefixOp::Not => 3,
            PrefixOp::Neg => 7,
        }
    }
}

impl InfixOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            InfixOp::Or => "or",
            InfixOp::And => "and",
            InfixOp::Lt => "<",
            InfixOp::Le => "<=",
            InfixOp::Gt => ">",
            InfixOp::Ge => ">=",
            InfixOp::Eq => "==",
            InfixOp::Ne => "!=",
            InfixOp::Add => "+",
            InfixOp::Sub => "-",
            InfixOp::Mul => "*",
            InfixOp::Div => "/",
            InfixOp::Pow => "^",
        }
    }

    /// How tightly it binds: `or` 1, `and` 2, `not` 3, comparisons 4, `+ -` 5, `* /` 6, unary minus 7, `^` 8.
    pub fn precedence(self) -> u8 {
        match self {
            InfixOp::Or => 1,
            InfixOp::And => 2,
            InfixOp::Lt | InfixOp::Le | InfixOp::Gt | InfixOp::Ge | InfixOp::Eq | InfixOp::Ne => 4,
            InfixOp::Add | InfixOp::Sub => 5,
            InfixOp::Mul | InfixOp::Div => 6,
            InfixOp::Pow => 8,
        }
    }

    /// True for `< <= > >= == !=`.
    pub fn is_comparison(self) -> bool {
        self.precedence() == 4
    }
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// `k = ...`
    pub name: Option<Name>,
    /// The value.
    pub value: Value,
    /// `for j in 1 .. N`, as in `sum(e for j in 1 .. N if j != i)`
    pub family: Option<Family>,
    /// `if j != i` behind the family
    pub condition: Option<Expr>,
}
