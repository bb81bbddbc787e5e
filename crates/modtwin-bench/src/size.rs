//! How large the programs are.

use std::fs;
use std::path::Path;

use modtwin_testkit::hub::program;
use serde::Serialize;

/// The size of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    /// Its name.
    pub(crate) program: &'static str,
    /// The profile that it was built with.
    pub(crate) profile: &'static str,
    /// Its bytes.
    pub(crate) bytes: u64,
}

/// Looks at the programs beside this one, and at those for packages where they were built.
///
/// # Errors
///
/// Where the daemon beside this program is missing.
pub(crate) fn look() -> anyhow::Result<Vec<Size>> {
    let own = program("modtwind")?;
    let built = own.parent().unwrap_or(Path::new("."));
    let packages = built.with_file_name("dist");
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut sizes = Vec::new();
    for (folder, profile) in [(built, profile), (&packages, "dist")] {
        for program in ["modtwind", "modtwinctl"] {
            if let Ok(found) = fs::metadata(folder.join(program)) {
                sizes.push(Size { program, profile, bytes: found.len() });
            }
        }
    }
    Ok(sizes)
}
