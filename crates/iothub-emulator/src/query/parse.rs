//! Reading a query: words in, [`Query`] out. What can nest is bounded, so that no text overflows the stack.

use serde_json::Value;

use super::syntax::{
    Aggregate, Column, Comparison, Condition, Operand, Path, Query, Select, Source, Step, TextTest,
};
use super::word::{self, Word};

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// Says what was expected, what was found, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { words: word::split(text)?, next: 0, depth: 0 };
        let query = reader.query()?;
        query.check()?;
        Ok(query)
    }

    /// Checks what grammar alone does not say.
    fn check(&self) -> Result<(), String> {
        let Select::Columns(columns) = &self.select else {
            return match self.group_by.is_empty() {
                true => Ok(()),
                false => Err("group by: expected columns to select, found '*'".to_owned()),
            };
        };
        for (index, column) in columns.iter().enumerate() {
            if columns.iter().take(index).any(|earlier| earlier.name == column.name) {
                return Err(format!("column '{}' is there twice: rename one with as", column.name));
            }
        }
        let is_summed = |column: &Column| matches!(column.source, Source::Sum(_));
        if self.group_by.is_empty() && !columns.iter().any(is_summed) {
            return Ok(());
        }
        for column in columns {
            if let Source::Path(path) = &column.source
                && !self.group_by.contains(path)
            {
                return Err(format!(
                    "column '{}' must be in group by or be summed up",
                    column.name
                ));
            }
        }
        Ok(())
    }
}

struct Reader {
    words: Vec<(usize, Word)>,
    next: usize,
    depth: usize,
}

impl Reader {
    fn query(&mut self) -> Result<Query, String> {
        self.keyword("select")?;
        let top = match self.takes_keyword("top") {
            true => Some(self.whole_number()?),
            false => None,
        };
        // What may follow `select` depends on what `from` names, so paths are read as they are.
        let select = self.select()?;
        self.keyword("from")?;
        let wants_modules = self.collection()?;
        let filter = match self.takes_keyword("where") {
            true => Some(self.any()?),
            false => None,
        };
        let mut group_by = Vec::new();
        if self.takes_keyword("group") {
            self.keyword("by")?;
            group_by.push(self.path()?);
            while self.takes(",") {
                group_by.push(self.path()?);
            }
        }
        match self.word() {
            Word::End => Ok(Query { top, select, wants_modules, filter, group_by }),
            _ => Err(self.unexpected("where, group by or the end")),
        }
    }

    fn select(&mut self) -> Result<Select, String> {
        if self.takes("*") {
            return Ok(Select::Everything);
        }
        let mut columns = vec![self.column()?];
        while self.takes(",") {
            columns.push(self.column()?);
        }
        Ok(Select::Columns(columns))
    }

    fn column(&mut self) -> Result<Column, String> {
        let (source, default) = match self.aggregate()? {
            Some((name, aggregate)) => (Source::Sum(aggregate), name.to_owned()),
            None => {
                let path = self.path()?;
                let name = match path.0.last() {
                    Some(Step::Member(name)) => name.clone(),
                    Some(Step::Index(index)) => index.to_string(),
                    None => String::new(),
                };
                (Source::Path(path), name)
            }
        };
        let name = match self.takes_keyword("as") {
            true => self.name()?,
            false => default,
        };
        Ok(Column { name, source })
    }

    fn aggregate(&mut self) -> Result<Option<(&'static str, Aggregate)>, String> {
        let Some(name) = self.function(&["count", "sum", "avg", "min", "max"]) else {
            return Ok(None);
        };
        let aggregate = match name {
            "count" => {
                self.takes("*");
                Aggregate::Count
            }
            "sum" => Aggregate::Add(self.path()?),
            "avg" => Aggregate::Mean(self.path()?),
            "min" => Aggregate::Least(self.path()?),
            _ => Aggregate::Most(self.path()?),
        };
        self.sign(")")?;
        Ok(Some((name, aggregate)))
    }

    fn collection(&mut self) -> Result<bool, String> {
        let expected = "devices or devices.modules";
        if !self.takes_keyword("devices") {
            return Err(self.unexpected(expected));
        }
        if !self.takes(".") {
            return Ok(false);
        }
        match self.takes_keyword("modules") {
            true => Ok(true),
            false => Err(self.unexpected("modules")),
        }
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.takes_keyword("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.negation()?];
        while self.takes_keyword("and") {
            parts.push(self.negation()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn negation(&mut self) -> Result<Condition, String> {
        let mut is_negated = false;
        while self.takes_keyword("not") {
            is_negated = !is_negated;
        }
        let condition = self.primary()?;
        Ok(if is_negated { Condition::Not(Box::new(condition)) } else { condition })
    }

    fn primary(&mut self) -> Result<Condition, String> {
        if self.takes("(") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(format!("more than {DEEPEST} parentheses inside each other"));
            }
            let inner = self.any()?;
            self.depth -= 1;
            self.sign(")")?;
            return Ok(inner);
        }
        if self.function(&["is_defined", "isdefined"]).is_some() {
            let path = self.path()?;
            self.sign(")")?;
            return Ok(Condition::IsDefined(path));
        }
        if let Some(test) = self.text_test() {
            let text = self.operand()?;
            self.sign(",")?;
            let part = self.operand()?;
            self.sign(")")?;
            return Ok(Condition::Text(test, text, part));
        }
        let left = self.operand()?;
        if let Some(comparison) = self.comparison() {
            return Ok(Condition::Compare(left, comparison, self.operand()?));
        }
        let is_negated = self.takes_keyword("nin")
            || (self.is_keyword("not") && self.follows_in() && self.takes_keyword("not"));
        if self.takes_keyword("in") || is_negated {
            return Ok(Condition::In { operand: left, list: self.list()?, is_negated });
        }
        match left {
            Operand::Path(path) => Ok(Condition::Holds(path)),
            Operand::Constant(Value::Bool(constant)) => Ok(Condition::Constant(constant)),
            Operand::Constant(_) => Err(self.unexpected("a comparison")),
        }
    }

    /// Says whether the word after the next is `in`.
    fn follows_in(&self) -> bool {
        matches!(self.words.get(self.next + 1), Some((_, Word::Name(name))) if name.eq_ignore_ascii_case("in"))
    }

    fn text_test(&mut self) -> Option<TextTest> {
        let names = ["startswith", "starts_with", "endswith", "ends_with", "contains"];
        Some(match self.function(&names)? {
            "startswith" | "starts_with" => TextTest::StartsWith,
            "endswith" | "ends_with" => TextTest::EndsWith,
            _ => TextTest::Contains,
        })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let known = [
            ("=", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<", Comparison::Less),
            ("<=", Comparison::AtMost),
            (">", Comparison::Greater),
            (">=", Comparison::AtLeast),
        ];
        known.into_iter().find(|(sign, _)| self.takes(sign)).map(|(_, comparison)| comparison)
    }

    fn list(&mut self) -> Result<Vec<Value>, String> {
        let close = match (self.takes("["), self.takes("(")) {
            (true, _) => "]",
            (_, true) => ")",
            _ => return Err(self.unexpected("a list such as ['a', 'b']")),
        };
        let mut list = Vec::new();
        while !self.takes(close) {
            if !list.is_empty() {
                self.sign(",")?;
            }
            match self.operand()? {
                Operand::Constant(value) => list.push(value),
                Operand::Path(_) => return Err("a list takes texts and numbers alone".to_owned()),
            }
        }
        Ok(list)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let constant = match self.word() {
            Word::Constant(value) => value.clone(),
            Word::Name(name) if name.eq_ignore_ascii_case("true") => Value::Bool(true),
            Word::Name(name) if name.eq_ignore_ascii_case("false") => Value::Bool(false),
            Word::Name(name) if name.eq_ignore_ascii_case("null") => Value::Null,
            _ => return self.path().map(Operand::Path),
        };
        self.next += 1;
        Ok(Operand::Constant(constant))
    }

    /// Reads `a.b['c'][0]`, without a leading `devices` or `devices.modules`.
    fn path(&mut self) -> Result<Path, String> {
        let place = self.place();
        let mut steps = vec![Step::Member(self.name()?)];
        loop {
            if self.takes(".") {
                steps.push(Step::Member(self.name()?));
            } else if self.takes("[") {
                steps.push(self.index()?);
                self.sign("]")?;
            } else {
                break;
            }
        }
        let is = |step: Option<&Step>, name: &str| matches!(step, Some(Step::Member(found)) if found.eq_ignore_ascii_case(name));
        for prefix in ["devices", "modules"] {
            if steps.len() > 1 && is(steps.first(), prefix) {
                steps.remove(0);
            }
        }
        let known = MEMBERS.into_iter().find(|member| is(steps.first(), member));
        match (known, steps.first_mut()) {
            (Some(known), Some(first)) => *first = Step::Member(known.to_owned()),
            _ => {
                return Err(format!(
                    "unknown member at {place}: expected one of {}",
                    MEMBERS.join(", ")
                ));
            }
        }
        Ok(Path(steps))
    }

    fn index(&mut self) -> Result<Step, String> {
        if let Word::Constant(Value::String(name)) = self.word() {
            let step = Step::Member(name.clone());
            self.next += 1;
            return Ok(step);
        }
        self.whole_number().map(Step::Index)
    }

    fn whole_number(&mut self) -> Result<usize, String> {
        let number = match self.word() {
            Word::Constant(value) => value.as_u64().and_then(|number| number.try_into().ok()),
            _ => None,
        };
        let number = number.ok_or_else(|| self.unexpected("a whole number"))?;
        self.next += 1;
        Ok(number)
    }

    fn name(&mut self) -> Result<String, String> {
        match self.word() {
            Word::Name(name) => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn word(&self) -> &Word {
        self.words.get(self.next).map_or(&Word::End, |(_, word)| word)
    }

    fn place(&self) -> usize {
        self.words.get(self.next).map_or(0, |(at, _)| *at)
    }

    fn unexpected(&self, expected: &str) -> String {
        format!("expected {expected}, found {} at {}", self.word(), self.place())
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.word(), Word::Name(name) if name.eq_ignore_ascii_case(keyword))
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let takes = self.is_keyword(keyword);
        self.next += usize::from(takes);
        takes
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), String> {
        match self.takes_keyword(keyword) {
            true => Ok(()),
            false => Err(self.unexpected(keyword)),
        }
    }

    fn takes(&mut self, sign: &str) -> bool {
        let takes = matches!(self.word(), Word::Sign(found) if *found == sign);
        self.next += usize::from(takes);
        takes
    }

    fn sign(&mut self, sign: &str) -> Result<(), String> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{sign}'"))),
        }
    }

    /// Takes a function's name and its parenthesis.
    fn function(&mut self, names: &[&'static str]) -> Option<&'static str> {
        let opens = matches!(self.words.get(self.next + 1), Some((_, Word::Sign("("))));
        let name = names.iter().find(|name| opens && self.is_keyword(name))?;
        self.next += 2;
        Some(name)
    }
}

fn one_or(mut parts: Vec<Condition>, join: impl FnOnce(Vec<Condition>) -> Condition) -> Condition {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            join(parts)
        }
    }
}

/// Most parentheses inside each other.
const DEEPEST: usize = 64;
/// Members of a twin that a path may start with; written so, read in any case.
const MEMBERS: [&str; 20] = [
    "deviceId",
    "moduleId",
    "etag",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "modelId",
    "version",
    "tags",
    "properties",
    "capabilities",
    "deviceScope",
    "parentScopes",
    "configurations",
];
