//! From a root text to all texts that it imports, the names each declares at file level, and the unit table.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::limits::MAX_IMPORTS;
use crate::source::{Loader, SourceFile, SourceId, SourceMap, Span};
use crate::syntax::ast::{self, ClauseKind, ClauseWord, ExprKind, StatementKind, Value};
use crate::syntax::words;
use crate::units::Units;

use super::Module;
use super::models;
use super::unknown::{did_you_mean, nearest};

/// The standard library, compiled in: name and text.
pub(super) const STDLIB: &[(&str, &str)] = &[
    ("std.prelude", include_str!("../../stdlib/prelude.twin")),
    ("std.kinetics", include_str!("../../stdlib/kinetics.twin")),
    ("std.units", include_str!("../../stdlib/units.twin")),
    ("std.chem", include_str!("../../stdlib/chem.twin")),
    ("std.fluid", include_str!("../../stdlib/fluid.twin")),
    ("std.thermal", include_str!("../../stdlib/thermal.twin")),
    ("std.electric", include_str!("../../stdlib/electric.twin")),
    ("std.pkpd", include_str!("../../stdlib/pkpd.twin")),
    ("std.glucose", include_str!("../../stdlib/glucose.twin")),
    ("std.signals", include_str!("../../stdlib/signals.twin")),
];

/// Index of a text in [`Files`].
pub(super) type FileIdx = usize;

/// A name declared at file level: positions into the file's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// Statement, and entry within it.
    Const(usize, usize),
    /// Statement.
    Fn(usize),
    /// Statement.
    Model(usize),
    /// Statement.
    Task(usize),
}

/// One text with what it declares and uses.
pub(super) struct FileScope {
    pub ast: ast::File,
    pub items: HashMap<String, (Item, Span)>,
    /// Imported names.
    pub uses: HashMap<String, (FileIdx, String)>,
    /// Texts all of whose names are imported.
    pub whole: Vec<FileIdx>,
    /// The units that it declares. They are known everywhere once the text is read.
    pub units: HashSet<String>,
    /// Names in statements that could not be read or are refused: that they are not declared is no further mistake.
    pub unread: HashSet<String>,
}

/// All texts of a run.
pub(super) struct Files {
    pub list: Vec<FileScope>,
    pub units: Units,
    pub prelude: FileIdx,
    by_name: HashMap<String, Option<FileIdx>>,
}

impl Files {
    /// The declaration that `name` means at the file level of `file`.
    pub fn find(&self, file: FileIdx, name: &str) -> Option<(FileIdx, String, Item)> {
        let scope = &self.list[file];
        if let Some((item, _)) = scope.items.get(name) {
            return Some((file, name.to_string(), *item));
        }
        if let Some((other, original)) = scope.uses.get(name) {
            let (item, _) = self.list[*other].items.get(original)?;
            return Some((*other, original.clone(), *item));
        }
        for other in scope.whole.iter().copied().chain([self.prelude]) {
            if let Some((item, _)) = self.list[other].items.get(name) {
                return Some((other, name.to_string(), *item));
            }
        }
        None
    }

    /// Every name visible at the file level of `file`.
    pub fn visible(&self, file: FileIdx) -> impl Iterator<Item = &str> {
        let scope = &self.list[file];
        let whole = scope.whole.iter().copied().chain([self.prelude]);
        scope
            .items
            .keys()
            .chain(scope.uses.keys())
            .map(String::as_str)
            .chain(whole.flat_map(|other| self.list[other].items.keys().map(String::as_str)))
    }
}

/// Reads the text `root` and everything it imports, resolves and checks it.
///
/// Diagnostics of all stages up to checked units are collected; the returned module holds what could be understood,
/// and must not be compiled where `diagnostics.has_errors()`. With `strict`, a unit that is neither written nor
/// uniquely inferred is an error even in a model without any units. The text `additions`, if given, holds
/// `study Name { .. }` blocks whose statements are read after those of the studies of that name.
pub fn load(
    sources: &mut SourceMap,
    root: SourceId,
    additions: Option<SourceId>,
    loader: &dyn Loader,
    strict: bool,
    diagnostics: &mut Diagnostics,
) -> Module {
    let mut reader = Reader {
        sources,
        loader,
        diagnostics,
        open: Vec::new(),
        files: Files { list: Vec::new(), units: Units::standard(), prelude: 0, by_name: HashMap::new() },
    };
    if let Some(prelude) = reader.stdlib("std.prelude") {
        reader.files.prelude = prelude;
    }
    let root_file = reader.read(root);
    let Reader { files, .. } = reader;
    let additions = additions.map(|id| {
        let text = sources.get(id).text.clone();
        crate::syntax::parse(id, &text, diagnostics)
    });
    models::module(&files, sources, root_file, additions.as_ref(), strict, diagnostics)
}

struct Reader<'a> {
    sources: &'a mut SourceMap,
    loader: &'a dyn Loader,
    diagnostics: &'a mut Diagnostics,
    /// Names of the texts being read, for circles.
    open: Vec<String>,
    files: Files,
}

impl Reader<'_> {
    /// Parses one text, its imports first, and registers what it declares.
    fn read(&mut self, id: SourceId) -> FileIdx {
        let file = self.sources.get(id);
        let (name, text) = (file.name.clone(), file.text.clone());
        self.open.push(name.clone());
        let ast = crate::syntax::parse(id, &text, self.diagnostics);
        let mut unread: HashSet<String> = ast.unread.iter().map(|n| n.text.clone()).collect();
        later_names(&ast.statements, words::Context::File, &mut unread);
        let mut scope = FileScope {
            ast,
            items: HashMap::new(),
            uses: HashMap::new(),
            whole: Vec::new(),
            units: HashSet::new(),
            unread,
        };
        let statements = std::mem::take(&mut scope.ast.statements);
        for statement in &statements {
            if let StatementKind::Directive(directive) = &statement.kind
                && directive.word.text == "use"
            {
                self.import(directive, statement.span, &name, &mut scope);
            }
        }
        for (idx, statement) in statements.iter().enumerate() {
            self.declare(idx, statement, &mut scope);
        }
        self.units(&statements, &mut scope);
        scope.ast.statements = statements;
        self.open.pop();
        self.files.list.push(scope);
        self.files.list.len() - 1
    }

    fn stdlib(&mut self, name: &str) -> Option<FileIdx> {
        if let Some(known) = self.files.by_name.get(name) {
            return *known;
        }
        let (_, text) = STDLIB.iter().find(|(n, _)| *n == name)?;
        let id = self.sources.add(SourceFile::new(name, *text));
        let idx = self.read(id);
        self.files.by_name.insert(name.to_string(), Some(idx));
        Some(idx)
    }

    /// `use a, b from std.kinetics`, `use std.units`, `use a from "other.twin"`
    fn import(&mut self, directive: &ast::Directive, span: Span, from_file: &str, scope: &mut FileScope) {
        let from = directive.clauses.iter().find_map(|c| match &c.kind {
            ClauseKind::Word(ClauseWord::From, args) => args.first(),
            _ => None,
        });
        let (origin, names) = match (from, directive.subjects.as_slice()) {
            (Some(origin), names) => (origin, names),
            (None, [origin]) => (origin, &[][..]),
            (None, _) => {
                self.diagnostics.push(
                    Diagnostic::new(Code("E0203"), span, "`use` does not say from where")
                        .at("names without an origin")
                        .help("write `use hill, mm from std.kinetics`"),
                );
                return;
            }
        };
        let Some(other) = self.origin(origin, from_file) else { return };
        if names.is_empty() {
            scope.whole.push(other);
            return;
        }
        for subject in names {
            let ExprKind::Path(path) = &subject.kind else {
                self.diagnostics
                    .push(Diagnostic::new(Code("E0203"), subject.span, "`use` takes names").at("this is not a name"));
                continue;
            };
            let name = &path.segments[path.segments.len() - 1].text;
            let items = &self.files.list[other].items;
            if items.contains_key(name) {
                let known = scope.uses.insert(name.clone(), (other, name.clone()));
                if known.is_some_and(|(before, _)| before != other) {
                    self.diagnostics.push(
                        Diagnostic::new(Code("E0202"), subject.span, format!("`{name}` is imported from two places"))
                            .at("again here")
                            .help("import it once"),
                    );
                }
            } else if !self.files.list[other].units.contains(name) && !self.files.list[other].unread.contains(name) {
                let mut d = Diagnostic::new(
                    Code("E0203"),
                    subject.span,
                    format!("`{}` has no `{name}`", self.sources.slice(origin.span).trim_matches('"')),
                )
                .at("not declared there");
                let near = nearest(name, items.keys().map(String::as_str));
                d = did_you_mean(&d, &near, &[subject.span]).unwrap_or(d);
                self.diagnostics.push(d);
            }
        }
    }

    fn origin(&mut self, origin: &ast::Expr, from_file: &str) -> Option<FileIdx> {
        match &origin.kind {
            ExprKind::Path(path) => {
                let name = path.segments.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(".");
                let found = self.stdlib(&name);
                if found.is_none() {
                    let mut d = Diagnostic::new(Code("E0203"), origin.span, format!("there is no library `{name}`"))
                        .at("not part of the standard library");
                    let near = nearest(&name, STDLIB.iter().map(|(n, _)| *n));
                    d = match did_you_mean(&d, &near, &[origin.span]) {
                        Some(d) => d,
                        None => d.help("a file of your own is named in quotes: `use f from \"kinetics.twin\"`"),
                    };
                    self.diagnostics.push(d);
                }
                found
            }
            ExprKind::Text(path) => self.file(path, origin.span, from_file),
            _ => {
                self.diagnostics.push(
                    Diagnostic::new(Code("E0203"), origin.span, "`use` needs a library or a file")
                        .at("expected `std.name` or \"file.twin\""),
                );
                None
            }
        }
    }

    fn file(&mut self, path: &str, span: Span, from_file: &str) -> Option<FileIdx> {
        let file = match self.loader.load(from_file, path) {
            Ok(file) => file,
            Err(error) => {
                let help = match error.help.as_str() {
                    "" => "the path is taken from the folder of this file",
                    help => help,
                };
                self.diagnostics.push(
                    Diagnostic::new(Code(error.code), span, format!("`{path}` cannot be read: {error}"))
                        .at("named here")
                        .help(help),
                );
                return None;
            }
        };
        if self.open.contains(&file.name) {
            self.diagnostics.push(
                Diagnostic::new(Code("E0204"), span, format!("`{path}` imports itself"))
                    .at("closes the circle")
                    .note(format!("the circle is {} → {}", self.open.join(" → "), file.name)),
            );
            return None;
        }
        if let Some(known) = self.files.by_name.get(&file.name) {
            return *known;
        }
        if self.files.list.len() + self.open.len() >= MAX_IMPORTS {
            self.diagnostics.push(
                Diagnostic::new(Code("E0204"), span, format!("more than {MAX_IMPORTS} files are imported"))
                    .at("one too many"),
            );
            return None;
        }
        let name = file.name.clone();
        let id = self.sources.add(file);
        let idx = self.read(id);
        self.files.by_name.insert(name, Some(idx));
        Some(idx)
    }

    /// Registers a statement of the file level.
    fn declare(&mut self, idx: usize, statement: &ast::Statement, scope: &mut FileScope) {
        let StatementKind::Directive(directive) = &statement.kind else {
            self.diagnostics.push(
                Diagnostic::new(Code("E0208"), statement.span, "this statement belongs inside a model or a study")
                    .at("stands at file level")
                    .help("write `model Name { .. }` around it"),
            );
            return;
        };
        let word = directive.word.text.as_str();
        match word {
            "use" | "study" | "unit" => {}
            // A task without a name is reported where it is lowered.
            "task" => {
                if let Some(name) = super::lower::subject_name(directive) {
                    self.register(scope, name, Item::Task(idx));
                }
            }
            "const" => {
                let entries = super::clauses::entries(directive, statement.span, self.diagnostics);
                for (k, entry) in entries.iter().enumerate() {
                    self.register(scope, &entry.name, Item::Const(idx, k));
                }
            }
            "fn" | "model" => {
                let item = if word == "fn" { Item::Fn(idx) } else { Item::Model(idx) };
                match directive.subjects.as_slice() {
                    [ast::Expr { kind: ExprKind::Path(path), .. }] if word == "model" && path.segments.len() == 1 => {
                        self.register(scope, &path.segments[0], item)
                    }
                    [ast::Expr { kind: ExprKind::Call { function, .. }, .. }]
                        if word == "fn" && function.segments.len() == 1 =>
                    {
                        self.register(scope, &function.segments[0], item)
                    }
                    _ => self.diagnostics.push(
                        Diagnostic::new(Code("E0101"), statement.span, format!("`{word}` has no name"))
                            .at("expected a name")
                            .help(if word == "fn" {
                                "write `fn name(a, b) = expression`"
                            } else {
                                "write `model Name { .. }`"
                            }),
                    ),
                }
            }
            _ => self.diagnostics.push(unknown_word(words::Context::File, &directive.word)),
        }
    }

    fn register(&mut self, scope: &mut FileScope, name: &ast::Name, item: Item) {
        if let Some((_, first)) = scope.items.get(&name.text) {
            self.diagnostics.push(
                Diagnostic::new(Code("E0202"), name.span, format!("`{}` is declared twice", name.text))
                    .at("again here")
                    .label(*first, "first here")
                    .help("give one of them another name"),
            );
            return;
        }
        scope.items.insert(name.text.clone(), (item, name.span));
    }

    /// Defines the units of a text, which may stand in any order: one whose parts are not defined yet waits for them.
    fn units(&mut self, statements: &[ast::Statement], scope: &mut FileScope) {
        let mut all: Vec<(&ast::Directive, Span, &str)> = Vec::new();
        for statement in statements {
            if let StatementKind::Directive(directive) = &statement.kind
                && directive.word.text == "unit"
            {
                let name = match directive.subjects.first().map(|subject| &subject.kind) {
                    Some(ExprKind::Path(path)) => path.segments[0].text.as_str(),
                    Some(_) | None => "",
                };
                scope.units.insert(name.to_string());
                all.push((directive, statement.span, name));
            }
        }
        let n_before = self.diagnostics.len();
        let mut waiting: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut tried: HashSet<&str> = HashSet::new();
        let mut next: VecDeque<usize> = (0..all.len()).collect();
        while let Some(k) = next.pop_front() {
            let (directive, span, name) = all[k];
            let is_later = |part: &&str| {
                scope.units.contains(*part) && !tried.contains(part) && !self.files.units.is_defined(part)
            };
            match unit_parts(directive).find(is_later) {
                Some(part) => waiting.entry(part).or_default().push(k),
                None => {
                    self.unit(directive, span);
                    tried.insert(name);
                    next.extend(waiting.remove(name).unwrap_or_default());
                }
            }
        }
        let left = waiting.values().flatten().min().map(|k| all[*k]);
        if let Some((directive, _, name)) = left.filter(|_| self.diagnostics.len() == n_before) {
            let place = directive.subjects.first().map_or(directive.word.span, |subject| subject.span);
            let parts: Vec<String> = waiting.keys().map(|part| format!("`{part}`")).collect();
            self.diagnostics.push(
                Diagnostic::new(Code("E0207"), place, format!("the unit `{name}` is defined by itself"))
                    .at("this definition")
                    .note(format!("these wait for each other: {}", parts.join(", ")))
                    .help("give one of them in units that are known"),
            );
        }
    }

    /// `unit cell`, `unit OD = 1e9 [cell/L]`
    fn unit(&mut self, directive: &ast::Directive, span: Span) {
        let [ast::Expr { kind: ExprKind::Path(path), span: name_span }] = directive.subjects.as_slice() else {
            self.diagnostics.push(
                Diagnostic::new(Code("E0101"), span, "`unit` has no name")
                    .at("expected a name")
                    .help("write `unit OD = 1e9 [cell/L]`"),
            );
            return;
        };
        let name = &path.segments[0].text;
        let init = directive.clauses.iter().find_map(|c| match &c.kind {
            ClauseKind::Init(Value::Expr(e)) => Some(e),
            _ => None,
        });
        let defined = match init.map(|e| (&e.kind, e.span)) {
            None => self.files.units.define_base(name),
            Some((ExprKind::Quantity { value, unit: Some(text) }, _)) => match self.files.units.parse(&text.text) {
                Ok(unit) => match unit.scaled(*value) {
                    Some(unit) => self.files.units.define(name, &unit),
                    None => {
                        let d = Diagnostic::new(
                            Code("E0108"),
                            *name_span,
                            format!("`{name}` cannot be {value} of another unit"),
                        );
                        self.diagnostics.push(d.at("declared here").help("the number must be positive and finite"));
                        return;
                    }
                },
                Err(error) => {
                    self.diagnostics.push(unit_diagnostic(&error, text));
                    return;
                }
            },
            Some((_, value_span)) => {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code("E0108"),
                        value_span,
                        format!("the unit `{name}` is not given as a number with a unit"),
                    )
                    .at("expected a number with a unit")
                    .help("write `unit OD = 1e9 [cell/L]`, or `unit cell` for a new dimension"),
                );
                return;
            }
        };
        if let Err(error) = defined {
            self.diagnostics.push(Diagnostic::new(Code("E0202"), *name_span, error.message).at("declared here"));
        }
    }
}

/// The names in the definition of a unit.
fn unit_parts(directive: &ast::Directive) -> impl Iterator<Item = &str> {
    let text = directive.clauses.iter().find_map(|c| match &c.kind {
        ClauseKind::Init(Value::Expr(ast::Expr { kind: ExprKind::Quantity { unit: Some(text), .. }, .. })) => {
            Some(text.text.as_str())
        }
        _ => None,
    });
    text.into_iter().flat_map(|text| text.split(|c: char| !(c.is_alphabetic() || c == '_' || c == '%')))
}

/// The diagnostic of a unit text that cannot be read.
pub(super) fn unit_diagnostic(error: &crate::units::UnitError, text: &ast::UnitText) -> Diagnostic {
    let start = text.span.start as usize;
    let span =
        Span::new(text.span.source, start + error.range.start, (start + error.range.end).min(text.span.end as usize));
    let mut d = Diagnostic::new(error.code, span, error.message.clone()).at("in this unit");
    if let Some(help) = &error.help {
        d = d.help(help.clone());
    }
    if let Some(replacement) = &error.replacement {
        d = d.fix("write the unit so", span, replacement.clone());
    }
    d
}

/// The names that words of a later version declare.
fn later_names(statements: &[ast::Statement], context: words::Context, names: &mut HashSet<String>) {
    for statement in statements {
        let StatementKind::Directive(directive) = &statement.kind else { continue };
        let name = &directive.word.text;
        let only_later = || words::anywhere(name).all(|w| !w.supported).then(|| words::anywhere(name).next());
        let Some(word) = words::find(context, name).or_else(|| only_later().flatten()) else { continue };
        if word.supported {
            // Only models hold declarations.
            if let Some(words::Context::Model) = word.block {
                let own = directive.block.as_ref().map_or(&[][..], |block| &block.statements);
                later_names(own, words::Context::Model, names);
            }
            continue;
        }
        for subject in &directive.subjects {
            match &subject.kind {
                ExprKind::Path(path) | ExprKind::Call { function: path, .. } => {
                    names.extend(path.segments.first().map(|name| name.text.clone()));
                }
                _ => {}
            }
        }
        if word.block == Some(words::Context::Group) {
            let inside = directive.block.iter().flat_map(|block| &block.statements);
            names.extend(inside.filter_map(|entry| match &entry.kind {
                StatementKind::Directive(entry) => Some(entry.word.text.clone()),
                StatementKind::Setting(entry) => Some(entry.name.text.clone()),
                _ => None,
            }));
        }
    }
}

/// E0901 for a word of a later version, E0208 with the nearest known word otherwise.
pub(super) fn unknown_word(context: words::Context, word: &ast::Name) -> Diagnostic {
    let (name, place) = (&word.text, context.phrase());
    match words::find(context, name) {
        Some(found) if !found.supported => unsupported(word),
        Some(_) | None => {
            let homes: Vec<words::Context> =
                words::anywhere(name).filter(|w| w.supported).flat_map(|w| w.contexts).copied().collect();
            if homes.is_empty() && words::anywhere(name).next().is_some() {
                return unsupported(word);
            }
            let known = words::in_context(context).filter(|w| w.supported).map(|w| w.word);
            let d = Diagnostic::new(Code("E0208"), word.span, format!("`{name}` is not a word that stands {place}"))
                .at("not known here");
            if !homes.is_empty() {
                let homes: Vec<&str> = homes.iter().map(|home| home.phrase()).collect();
                return d.help(format!("it stands {}", homes.join(" or ")));
            }
            match did_you_mean(&d, &nearest(name, known), &[word.span]) {
                Some(d) => d,
                None => {
                    let list = words::in_context(context)
                        .filter(|w| w.supported)
                        .map(|w| w.word)
                        .collect::<Vec<_>>()
                        .join(", ");
                    d.help(format!("words that stand {place}: {list}"))
                }
            }
        }
    }
}

/// E0901
pub(super) fn unsupported(word: &ast::Name) -> Diagnostic {
    Diagnostic::new(Code("E0901"), word.span, format!("`{}` is not supported by this version", word.text))
        .at("nothing of this statement is used")
        .help("remove it, or keep it in a file of its own until a version that supports it")
}
