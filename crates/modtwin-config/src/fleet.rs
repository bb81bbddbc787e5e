//! The section `[fleet]`: what the tool that writes the config has to do with it.
//!
//! Owns that the module it names is one of the config's.

use modtwin_core::ids::ModuleId;

use crate::field::Field;
use crate::model::Fleet;
use crate::place::Place;
use crate::problem::{Problem, ProblemKind};
use crate::read::Table;
use crate::values;

/// What one file says about the fleet's tool.
#[derive(Debug)]
pub(crate) struct RawFleet<'a> {
    version: Field<String>,
    report_module: Field<(ModuleId, Place<'a>)>,
}

impl<'a> RawFleet<'a> {
    pub(crate) const ABSENT: Self = Self { version: Field::Absent, report_module: Field::Absent };

    pub(crate) fn read(table: &Table<'a>, problems: &mut Vec<Problem>) -> Self {
        table.refuse_unknown(problems);
        let place = table.place_of("report-module");
        Self {
            version: table.text("version", problems, values::fleet_version),
            report_module: table.text("report-module", problems, |text| {
                values::module_id(text).map(|module| (module, place))
            }),
        }
    }

    pub(crate) fn over(self, earlier: Self) -> Self {
        Self {
            version: self.version.over(earlier.version),
            report_module: self.report_module.over(earlier.report_module),
        }
    }

    /// Notes that the module is none of `modules`, which are all that the files name.
    pub(crate) fn compare<'m>(
        &self,
        mut modules: impl Iterator<Item = &'m ModuleId>,
        problems: &mut Vec<Problem>,
    ) {
        if let Field::Good((module, place)) = &self.report_module
            && !modules.any(|known| known == module)
        {
            let message =
                format!("expected the id of a [[module]] of this config, found `{module}`");
            problems.push(place.problem(ProblemKind::Invalid, message));
        }
    }

    pub(crate) fn finish(self) -> Option<Fleet> {
        let report_module = self.report_module.optional()?.map(|(module, _place)| module);
        Some(Fleet { version: self.version.optional()?, report_module })
    }
}
