//! The clauses of a statement sorted by kind, and the entries that single and group declarations have in common.

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseKind, ClauseWord, Directive, ExprKind, Flag, StatementKind, Value};

/// The clauses of one statement; each kind at most once.
#[derive(Default)]
pub(super) struct Clauses<'a> {
    pub unit: Option<&'a ast::UnitText>,
    pub rates: Option<&'a [ast::Expr]>,
    pub init: Option<&'a Value>,
    pub range: Option<(Option<&'a ast::Expr>, Option<&'a ast::Expr>)>,
    pub choices: Option<&'a [Value]>,
    pub dist: Option<&'a ast::Expr>,
    pub families: Vec<&'a ast::Family>,
    pub words: Vec<(ClauseWord, &'a [ast::Expr], Span)>,
    pub flags: Vec<(Flag, Span)>,
    pub doc: Option<&'a ast::Text>,
}

/// Which clauses a statement may have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowed {
    pub unit: bool,
    pub rates: bool,
    pub init: bool,
    pub range: bool,
    pub choices: bool,
    pub dist: bool,
    pub family: bool,
    pub words: &'static [ClauseWord],
    pub flags: &'static [Flag],
}

impl<'a> Clauses<'a> {
    /// Sorts `clauses`; what `what` may not have is E0107.
    pub fn sort(clauses: &'a [ast::Clause], what: &str, allowed: Allowed, diagnostics: &mut Diagnostics) -> Self {
        let mut sorted = Clauses::default();
        for clause in clauses {
            let is_allowed = match &clause.kind {
                ClauseKind::Unit(unit) => {
                    sorted.unit = Some(unit);
                    allowed.unit
                }
                ClauseKind::Rates(rates) => {
                    sorted.rates = Some(rates);
                    allowed.rates
                }
                ClauseKind::Init(value) => {
                    sorted.init = Some(value);
                    allowed.init
                }
                ClauseKind::Range { low, high } => {
                    sorted.range = Some((low.as_ref(), high.as_ref()));
                    allowed.range
                }
                ClauseKind::Choices(values) => {
                    sorted.choices = Some(values);
                    allowed.choices
                }
                ClauseKind::Dist(dist) => {
                    sorted.dist = Some(dist);
                    allowed.dist
                }
                ClauseKind::Family(family) => {
                    sorted.families.push(family);
                    allowed.family
                }
                ClauseKind::Word(word, args) => {
                    sorted.words.push((*word, args, clause.span));
                    allowed.words.contains(word)
                }
                ClauseKind::Flag(flag) => {
                    sorted.flags.push((*flag, clause.span));
                    allowed.flags.contains(flag)
                }
                ClauseKind::Doc(doc) => {
                    sorted.doc = Some(doc);
                    true
                }
            };
            if !is_allowed {
                diagnostics.push(
                    Diagnostic::new(
                        Code("E0107"),
                        clause.span,
                        format!("{} has no meaning for {what}", clause_name(&clause.kind)),
                    )
                    .at("remove this"),
                );
            }
        }
        sorted
    }

    /// The arguments of the clause that `word` starts.
    pub fn word(&self, word: ClauseWord) -> Option<(&'a [ast::Expr], Span)> {
        self.words.iter().find(|(w, _, _)| *w == word).map(|(_, args, span)| (*args, *span))
    }

    /// The single argument of the clause that `word` starts.
    pub fn word_arg(&self, word: ClauseWord) -> Option<&'a ast::Expr> {
        self.word(word).and_then(|(args, _)| args.first())
    }

    /// True where the flag is written.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.iter().any(|(f, _)| *f == flag)
    }
}

fn clause_name(kind: &ClauseKind) -> &'static str {
    match kind {
        ClauseKind::Unit(_) => "a unit",
        ClauseKind::Rates(_) => "a rate constant `@`",
        ClauseKind::Init(_) => "a value `=`",
        ClauseKind::Range { .. } => "a range `in a .. b`",
        ClauseKind::Choices(_) => "a choice `in [..]`",
        ClauseKind::Dist(_) => "a distribution `~`",
        ClauseKind::Family(_) => "a family `for`",
        ClauseKind::Word(word, _) => match word {
            ClauseWord::Of => "`of`",
            ClauseWord::From => "`from`",
            ClauseWord::To => "`to`",
            ClauseWord::By => "`by`",
            ClauseWord::Soft => "`soft`",
            ClauseWord::Guess => "`guess`",
            ClauseWord::Weight => "`weight`",
            ClauseWord::Scale => "`scale`",
            ClauseWord::Penalty => "`penalty`",
            ClauseWord::Probability => "`probability`",
            ClauseWord::Times => "`times`",
            ClauseWord::Holding => "`holding`",
            ClauseWord::Within => "`within`",
            ClauseWord::When => "`when`",
            ClauseWord::Until => "`until`",
            ClauseWord::Rate => "`rate`",
            ClauseWord::Via => "`via`",
        },
        ClauseKind::Flag(flag) => match flag {
            Flag::Fixed => "`fixed`",
            Flag::Initial => "`initial`",
            Flag::Final => "`final`",
            Flag::Log => "`log`",
            Flag::Linear => "`linear`",
            Flag::Quadratic => "`quadratic`",
        },
        ClauseKind::Doc(_) => "a doc string",
    }
}

/// One declared name, from `state x [m] = 1` or from an entry of `state { x [m] = 1 }`.
pub(super) struct Entry<'a> {
    pub name: ast::Name,
    pub clauses: Vec<ast::Clause>,
    pub block: Option<&'a ast::Block>,
    /// How many indices stand behind the name, as in `h(i)`.
    pub n_indices: usize,
}

/// The names that a declaring directive declares; what cannot be a declaration is reported.
pub(super) fn entries<'a>(directive: &'a Directive, span: Span, diagnostics: &mut Diagnostics) -> Vec<Entry<'a>> {
    let word = &directive.word.text;
    let mut list = Vec::new();
    for subject in &directive.subjects {
        match &subject.kind {
            ExprKind::Path(path) if path.segments.len() == 1 => list.push(Entry {
                name: path.segments[0].clone(),
                clauses: directive.clauses.clone(),
                block: None,
                n_indices: 0,
            }),
            ExprKind::Call { function, args }
                if function.segments.len() == 1 && args.iter().all(|a| a.name.is_none()) =>
            {
                // The index names of `h(i)` repeat those of the `for` clause.
                list.push(Entry {
                    name: function.segments[0].clone(),
                    clauses: directive.clauses.clone(),
                    block: None,
                    n_indices: args.len(),
                });
            }
            _ => diagnostics.push(
                Diagnostic::new(Code("E0205"), subject.span, format!("`{word}` declares a name, and this is not one"))
                    .at("expected a name")
                    .help(format!("write `{word} name [unit] = value`")),
            ),
        }
    }
    if let Some(block) = &directive.block {
        if directive.subjects.is_empty() {
            list.extend(block_entries(block, word, diagnostics));
        } else if let Some(last) = list.last_mut() {
            last.block = Some(block);
        }
    } else if directive.subjects.is_empty() {
        diagnostics.push(
            Diagnostic::new(Code("E0101"), span, format!("`{word}` declares nothing"))
                .at("expected a name or a block behind it")
                .help(format!("write `{word} name [unit] = value`, or several in `{word} {{ .. }}`")),
        );
    }
    list
}

/// The entries of a group block.
pub(super) fn block_entries<'a>(block: &'a ast::Block, word: &str, diagnostics: &mut Diagnostics) -> Vec<Entry<'a>> {
    let mut list = Vec::new();
    for statement in &block.statements {
        match &statement.kind {
            StatementKind::Directive(entry) if entry.subjects.is_empty() && entry.block.is_none() => list.push(Entry {
                name: entry.word.clone(),
                clauses: entry.clauses.clone(),
                block: None,
                n_indices: entry.indices.len(),
            }),
            StatementKind::Setting(setting) => {
                let value_span = setting.value.span();
                let mut clauses = vec![ast::Clause { kind: ClauseKind::Init(setting.value.clone()), span: value_span }];
                clauses.extend(setting.clauses.iter().cloned());
                list.push(Entry { name: setting.name.clone(), clauses, block: None, n_indices: 0 });
            }
            StatementKind::Ode(_)
            | StatementKind::Assign(_)
            | StatementKind::Bind(_)
            | StatementKind::Reaction(_)
            | StatementKind::Labelled(_)
            | StatementKind::Directive(_) => diagnostics.push(
                Diagnostic::new(Code("E0205"), statement.span, format!("a `{word}` block holds declarations only"))
                    .at(format!("expected `name [unit] = value` inside `{word} {{ .. }}`"))
                    .help("move this statement out of the block"),
            ),
        }
    }
    list
}
