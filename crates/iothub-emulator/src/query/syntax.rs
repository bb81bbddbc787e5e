//! What a query is, once it was read.

use serde_json::Value;

/// Holds a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// Most rows; `None`: all.
    pub(super) top: Option<usize>,
    pub(super) select: Select,
    /// Whether it is about `devices.modules` instead of `devices`.
    pub(super) wants_modules: bool,
    pub(super) filter: Option<Condition>,
    pub(super) group_by: Vec<Path>,
}

impl Query {
    /// Says whether the query is about modules, not devices.
    pub(crate) fn wants_modules(&self) -> bool {
        self.wants_modules
    }

    /// Says whether its rows are whole twins.
    pub(crate) fn gives_twins(&self) -> bool {
        self.select == Select::Everything
    }
}

/// Says what a row of the answer holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Select {
    Everything,
    Columns(Vec<Column>),
}

/// One named member of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) source: Source,
}

/// Says where a column's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Path(Path),
    Sum(Aggregate),
}

/// Sums many rows up in one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Aggregate {
    Count,
    Add(Path),
    Mean(Path),
    Least(Path),
    Most(Path),
}

/// Leads from the twin to one of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Index(usize),
}

/// Says yes, no or nothing ("undefined") about a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Operand, Comparison, Operand),
    In {
        operand: Operand,
        list: Vec<Value>,
        is_negated: bool,
    },
    IsDefined(Path),
    Text(TextTest, Operand, Operand),
    /// A member that is true or false by itself, as `capabilities.iotEdge`.
    Holds(Path),
    Constant(bool),
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Path(Path),
    Constant(Value),
}

/// Compares two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Tests a text for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}
