//! Reads golden files.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// One file: its name and its fields.
#[derive(Debug)]
pub(crate) struct Golden {
    /// The file's name without its end.
    pub(crate) name: String,
    fields: BTreeMap<String, String>,
}

impl Golden {
    /// A field that must be there.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("{}: no `{name}`", self.name))
    }

    /// Says whether a field has that value.
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.fields.get(name).is_some_and(|found| found == value)
    }

    /// What it means.
    pub(crate) fn means(&self) -> Value {
        serde_json::from_str(self.field("means"))
            .unwrap_or_else(|error| panic!("{}: means: {error}", self.name))
    }

    /// The packet's bytes: hexadecimal pairs and quoted texts.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, part) in self.field("bytes").split('"').enumerate() {
            if index % 2 == 1 {
                bytes.extend(part.as_bytes());
                continue;
            }
            for pair in part.split_whitespace() {
                let byte = u8::from_str_radix(pair, 16);
                bytes.push(byte.unwrap_or_else(|_| panic!("{}: `{pair}`", self.name)));
            }
        }
        bytes
    }
}

/// Reads all files of a folder below tests/golden; each has a source and a date.
pub(crate) fn all(folder: &str) -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder);
    let mut files: Vec<Golden> =
        std::fs::read_dir(&path).unwrap().map(|entry| read(&entry.unwrap().path())).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(files.len() > 5, "{} has {} files", path.display(), files.len());
    files
}

/// One packet file.
pub(crate) fn packet(name: &str) -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/packets");
    read(&path.join(format!("{name}.golden")))
}

fn read(path: &Path) -> Golden {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    for needed in ["# source: ", "# date: 20"] {
        assert!(text.lines().any(|line| line.starts_with(needed)), "{name}: no `{needed}`");
    }
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(more) => {
                let field = fields.get_mut(&last).unwrap();
                field.push(' ');
                field.push_str(more);
            }
            None => {
                let (field, value) = line.split_once(':').unwrap();
                last = field.to_owned();
                fields.insert(last.clone(), value.strip_prefix(' ').unwrap_or(value).to_owned());
            }
        }
    }
    Golden { name, fields }
}
