//! Messages that wait for the hub, on disk: one JSON file a message in the module's folder `messages`.
//!
//! A file is written whole, synced and renamed into place, named by the message's number, so that after
//! a crash or a power cut each message is there or not. A file that is damaged, and a message that the
//! hub will not take, are kept beside under another name, a bounded number of them. What may not be
//! read (it belongs to another user) is not touched.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use modtwin_session::messages::{DeviceMessage, FoundMessages, MessageStore, StoredMessage};
use modtwin_session::store::StoreError;
use tracing::{error, warn};

use crate::store::{failed, make_folder, replace};

/// The folder's name in a module's folder.
pub(crate) const MESSAGES: &str = "messages";
/// What the name of a message that waits ends with.
const WAITING: &str = ".json";
/// What the name of one that the hub will not take ends with.
const SET_ASIDE: &str = ".json.set-aside";
/// What the name of one that can't be read ends with.
const DAMAGED: &str = ".json.damaged";
/// What the name of one that is being written ends with, and of one that is being set aside.
const UNFINISHED: &str = ".json.new";
const UNFINISHED_ASIDE: &str = ".json.set-aside.new";
/// How many messages are kept aside; the oldest make room.
const MOST_ASIDE: usize = 20;

/// The messages of one module.
#[derive(Debug, Clone)]
pub(crate) struct MessageFolder {
    folder: PathBuf,
}

/// What a file of the folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Waiting,
    Aside,
    Unfinished,
}

impl MessageFolder {
    /// The messages in that module's folder; made when first needed.
    pub(crate) fn new(module_folder: &Path) -> Self {
        Self { folder: module_folder.join(MESSAGES) }
    }

    fn path(&self, number: u64, ending: &str) -> PathBuf {
        self.folder.join(name(number, ending))
    }

    /// What is there, by number; nothing where there is no folder.
    fn entries(&self) -> Result<Vec<(u64, Kind, PathBuf)>, StoreError> {
        let listing = match fs::read_dir(&self.folder) {
            Ok(listing) => listing,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.folder, &error)),
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry.map_err(|error| failed("read", &self.folder, &error))?;
            if let Some((number, kind)) = entry.file_name().to_str().and_then(kind) {
                entries.push((number, kind, entry.path()));
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// Reads a message; none where it is damaged, which it is kept aside for.
    fn read(&self, number: u64, path: &Path) -> Result<Option<DeviceMessage>, StoreError> {
        let read = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(failed("read", path, &error));
            }
            Err(error) => Err(error.to_string()),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| error.to_string())
                .and_then(StoredMessage::into_message),
        };
        match read {
            Ok(message) => Ok(Some(message)),
            Err(why) => {
                let aside = self.path(number, DAMAGED);
                fs::rename(path, &aside).map_err(|error| failed("keep aside", path, &error))?;
                error!(kept_as = %aside.display(), why, "a stored message is damaged and is not sent");
                Ok(None)
            }
        }
    }

    /// Counts what is set aside, after the oldest have made room for the newest.
    fn count_aside(&self) -> Result<u64, StoreError> {
        let entries = self.entries()?;
        let aside: Vec<_> = entries.iter().filter(|(_, kind, _)| *kind == Kind::Aside).collect();
        let surplus = aside.len().saturating_sub(MOST_ASIDE);
        for (_, _, path) in aside.iter().take(surplus) {
            warn!(file = %path.display(), "more messages are set aside than are kept, removing the oldest");
            fs::remove_file(path).map_err(|error| failed("remove", path, &error))?;
        }
        Ok(u64::try_from(aside.len() - surplus).unwrap_or(u64::MAX))
    }

    fn write(&self, name: &str, message: &DeviceMessage) -> Result<u64, StoreError> {
        let mut bytes = serde_json::to_vec(&StoredMessage::from(message))
            .map_err(|error| StoreError(format!("cannot write a message as JSON: {error}")))?;
        bytes.push(b'\n');
        match replace(&self.folder, name, &bytes) {
            Err(_) if !self.folder.is_dir() => {
                make_folder(&self.folder)?;
                replace(&self.folder, name, &bytes)?;
            }
            written => written?,
        }
        Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
    }
}

impl MessageStore for MessageFolder {
    fn load(&self) -> Result<FoundMessages, StoreError> {
        let mut found = FoundMessages::default();
        for (number, kind, path) in self.entries()? {
            found.newest = found.newest.max(number);
            match kind {
                Kind::Waiting => {
                    let message = self.read(number, &path)?;
                    found.waiting.extend(message.map(|message| (number, message)));
                }
                // Nobody was told that it is stored.
                Kind::Unfinished => {
                    fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
                }
                Kind::Aside => {}
            }
        }
        found.set_aside = self.count_aside()?;
        Ok(found)
    }

    fn put(&self, number: u64, message: &DeviceMessage) -> Result<u64, StoreError> {
        self.write(&name(number, WAITING), message)
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        let path = self.path(number, WAITING);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    fn set_aside(&self, number: u64, message: &DeviceMessage) -> Result<u64, StoreError> {
        self.write(&name(number, SET_ASIDE), message)?;
        self.remove(number)?;
        self.count_aside()
    }
}

/// A file's name; with as many digits as any number has, so that a listing is in order.
fn name(number: u64, ending: &str) -> String {
    format!("{number:020}{ending}")
}

/// What the file of that name is; none where it is no message's.
fn kind(name: &str) -> Option<(u64, Kind)> {
    let (number, rest) = name.split_at_checked(20)?;
    let kind = match rest {
        WAITING => Kind::Waiting,
        SET_ASIDE | DAMAGED => Kind::Aside,
        UNFINISHED | UNFINISHED_ASIDE => Kind::Unfinished,
        _ => return None,
    };
    Some((number.parse().ok()?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> DeviceMessage {
        DeviceMessage { payload: text.into(), ..DeviceMessage::default() }
    }

    fn texts(found: &FoundMessages) -> Vec<(u64, String)> {
        let text = |message: &DeviceMessage| String::from_utf8(message.payload.clone()).unwrap();
        found.waiting.iter().map(|(number, message)| (*number, text(message))).collect()
    }

    fn files(folder: &MessageFolder) -> Vec<String> {
        let entries = fs::read_dir(&folder.folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn folder(directory: &tempfile::TempDir) -> MessageFolder {
        MessageFolder::new(&directory.path().join("module01"))
    }

    #[test]
    fn messages_come_back_in_the_order_of_their_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(&directory);
        assert_eq!(folder.load(), Ok(FoundMessages::default()));
        for number in [10, 9, 100] {
            folder.put(number, &message(&number.to_string())).unwrap();
        }
        let found = folder.load().unwrap();
        assert_eq!(texts(&found), [(9, "9".into()), (10, "10".into()), (100, "100".into())]);
        assert_eq!((found.newest, found.set_aside), (100, 0));
        folder.remove(10).unwrap();
        folder.remove(10).unwrap();
        assert_eq!(texts(&folder.load().unwrap()).len(), 2);
    }

    #[test]
    fn a_file_reads_as_a_person_would_write_it() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(&directory);
        folder.put(7, &message("on")).unwrap();
        assert_eq!(files(&folder), ["00000000000000000007.json"]);
        let text = fs::read_to_string(folder.path(7, WAITING)).unwrap();
        assert_eq!(text, "{\"format\":1,\"payload\":\"on\"}\n");
    }

    #[test]
    fn what_is_damaged_is_kept_aside_and_the_rest_is_found() {
        for damage in
            [&b""[..], b"{\"format\":1,", b"null", b"\xff", b"{\"format\":9,\"payload\":\"\"}"]
        {
            let directory = tempfile::tempdir().unwrap();
            let folder = folder(&directory);
            folder.put(1, &message("lost")).unwrap();
            folder.put(2, &message("kept")).unwrap();
            fs::write(folder.path(1, WAITING), damage).unwrap();
            let found = folder.load().unwrap();
            assert_eq!(texts(&found), [(2, "kept".into())]);
            assert_eq!(found.set_aside, 1);
            assert_eq!(files(&folder).first().unwrap(), "00000000000000000001.json.damaged");
            assert_eq!(folder.load().unwrap().set_aside, 1);
        }
    }

    #[test]
    fn half_a_write_counts_as_none_and_strangers_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(&directory);
        folder.put(1, &message("kept")).unwrap();
        fs::write(folder.path(2, UNFINISHED), "{").unwrap();
        fs::write(folder.folder.join("notes.txt"), "mine").unwrap();
        let found = folder.load().unwrap();
        assert_eq!((texts(&found).len(), found.newest), (1, 2));
        assert_eq!(files(&folder), ["00000000000000000001.json", "notes.txt"]);
    }

    #[test]
    fn what_is_set_aside_leaves_the_queue_and_has_a_bound() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(&directory);
        for number in 1..=25 {
            folder.put(number, &message("poison")).unwrap();
            let count = folder.set_aside(number, &message("poison")).unwrap();
            assert_eq!(count, number.min(20));
        }
        let found = folder.load().unwrap();
        assert_eq!((texts(&found).len(), found.newest, found.set_aside), (0, 25, 20));
        assert_eq!(files(&folder).first().unwrap(), "00000000000000000006.json.set-aside");
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let folder = folder(&directory);
        fs::create_dir_all(folder.folder.parent().unwrap()).unwrap();
        fs::write(&folder.folder, "").unwrap();
        for error in [folder.load().unwrap_err(), folder.put(1, &message("x")).unwrap_err()] {
            assert!(error.to_string().contains(MESSAGES), "{error}");
        }
    }
}
