//! Every bound on untrusted input, in one place. Beyond each stands a diagnostic, never an exhausted machine.

/// Bytes of one `.twin` text (E0110).
pub const MAX_SOURCE_BYTES: usize = 8 << 20;
/// Bytes of one CSV file (E0610).
pub const MAX_CSV_BYTES: usize = 64 << 20;
/// Columns of one CSV file (E0610).
pub const MAX_CSV_COLUMNS: usize = 10_000;
/// Statements of one `.twin` text (E0111).
pub const MAX_STATEMENTS: usize = 200_000;
/// Depth of nested parentheses, calls, conditionals, lists and blocks (E0112).
pub const MAX_NESTING: usize = 256;
/// Operators above one another in one expression, counted along its deepest branch (E0112); a sum of so many terms is
/// one such branch. Stages walk expressions recursively, so this bounds their stack.
pub const MAX_EXPRESSION_DEPTH: usize = 2_000;
/// Diagnostics kept of one run; the rest is dropped.
pub const MAX_DIAGNOSTICS: usize = 1_000;
/// Texts that imports may bring into one run (E0204).
pub const MAX_IMPORTS: usize = 256;
/// Members of one array family, and of all families of a model together (E0408).
pub const MAX_FAMILY: usize = 1_000_000;
/// Nodes that the bodies of user functions have in one model (E0113).
pub const MAX_EXPANDED_NODES: usize = 1_000_000;
/// Nodes visited while families and sums of one model are unrolled (E0114); bounds the time, as sums may be nested.
pub const MAX_UNROLLED_STEPS: usize = 20_000_000;
/// Nodes of one expression graph (E0114).
pub const MAX_DAG_NODES: usize = 32_000_000;
/// Scheduled events of one simulation (E0510).
pub const MAX_SCHEDULED_EVENTS: usize = 10_000_000;
/// Rows of one simulation's output table (E0611).
pub const MAX_OUTPUT_ROWS: usize = 50_000_000;
/// Depth of one expression after user functions are expanded (E0113); bounds every recursion over expressions.
pub const MAX_LOWERING_DEPTH: usize = 600;
/// Steps of the elimination that infers units (E0304); a united model of 16,000 statements takes under 1,000,000.
pub const MAX_INFERENCE_STEPS: usize = 20_000_000;
/// Members of an ensemble filter, particles of a particle filter.
pub const MAX_FILTER_POINTS: usize = 1_000_000;
/// Steps of a planner's horizon (E0602).
pub const MAX_HORIZON: usize = 100_000;
/// Steps of an episode of a task (E0616).
pub const MAX_EPISODE_STEPS: usize = 10_000_000;
/// Substeps of one step of a task (E0602).
pub const MAX_SUBSTEPS: usize = 100_000;
