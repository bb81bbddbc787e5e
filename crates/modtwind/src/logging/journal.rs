//! Log lines as records of systemd's journal, whose fields `journalctl` can match.
//!
//! Speaks the native protocol (systemd.io, "Journal Native Protocol"): one datagram a record. Unlike
//! `tracing-journald` it puts the fields into the message too, because the message is all that
//! `journalctl` shows unasked. What the socket does not take goes to standard error, which is the
//! journal's as well. Leaves to others which lines there are.

use std::ffi::OsStr;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// What the journal calls the daemon (`journalctl -t`).
const IDENTIFIER: &str = "modtwind";
/// What the names of our own fields begin with: `module` becomes `MODTWIN_MODULE`.
const PREFIX: &str = "MODTWIN_";
/// The field of spans that says whose line it is; the message begins with it.
const WHOSE: &str = "module";

/// Says whether `stream`, the value of `$JOURNAL_STREAM`, names what standard error is connected to
/// (systemd.exec(5)): the variable alone may be inherited by a program whose output goes elsewhere.
pub(super) fn is_standard_error(stream: &OsStr) -> bool {
    nix::sys::stat::fstat(std::io::stderr())
        .is_ok_and(|found| stream == format!("{}:{}", found.st_dev, found.st_ino).as_str())
}

/// Writes each event as a record.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    address: PathBuf,
}

impl Journal {
    /// The journal that listens at `address`.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or this process may not connect.
    pub(super) fn open(address: &Path) -> std::io::Result<Self> {
        UnixDatagram::unbound()?.connect(address)?;
        // By address each time, so that a journal that is opened anew is found again.
        Ok(Self { socket: UnixDatagram::unbound()?, address: address.to_owned() })
    }

    fn write(&self, metadata: &Metadata<'_>, line: &Line) {
        let priority = priority(*metadata.level());
        let message = line.message();
        if self.socket.send_to(&record(metadata, line, &message), &self.address).is_ok() {
            return;
        }
        for part in message.lines() {
            // The level as the journal reads it from a stream (sd-daemon(3)); where that is gone as
            // well nobody is left to tell.
            let _unheard = writeln!(std::io::stderr(), "<{priority}>{part}");
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = SpanFields::default();
        attributes.record(&mut fields.0);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<SpanFields>() {
            values.record(&mut fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Line::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<SpanFields>() {
                line.around.extend_from_slice(&fields.0.0);
            }
        }
        event.record(&mut line.fields);
        self.write(event.metadata(), &line);
    }
}

/// What a span says of all lines within it.
#[derive(Default)]
struct SpanFields(Fields);

/// One field: its name, its value, and the value as a line of text has it.
#[derive(Debug, Clone)]
struct Value {
    name: &'static str,
    value: String,
    text: String,
}

#[derive(Debug, Default)]
struct Fields(Vec<Value>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let text = if field.name() == "message" { value.to_owned() } else { format!("{value:?}") };
        self.0.push(Value { name: field.name(), value: value.to_owned(), text });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        self.0.push(Value { name: field.name(), text: value.clone(), value });
    }
}

/// An event with all that its spans say.
#[derive(Debug, Default)]
struct Line {
    around: Vec<Value>,
    fields: Fields,
}

impl Line {
    /// The line for people: whose it is, the words, then the fields.
    fn message(&self) -> String {
        let (whose, others): (Vec<_>, Vec<_>) =
            self.around.iter().partition(|field| field.name == WHOSE);
        let (words, fields): (Vec<_>, Vec<_>) =
            self.fields.0.iter().partition(|field| field.name == "message");
        let mut message = String::new();
        for Value { value, .. } in whose {
            let _infallible = write!(message, "{value}: ");
        }
        for Value { value, .. } in words {
            message.push_str(value);
        }
        for Value { name, text, .. } in fields.into_iter().chain(others) {
            let _infallible = write!(message, " {name}={text}");
        }
        message
    }
}

/// The datagram.
fn record(metadata: &Metadata<'_>, line: &Line, message: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    put(&mut bytes, "MESSAGE", message);
    put(&mut bytes, "PRIORITY", &priority(*metadata.level()).to_string());
    put(&mut bytes, "SYSLOG_IDENTIFIER", IDENTIFIER);
    if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
        put(&mut bytes, "CODE_FILE", file);
        put(&mut bytes, "CODE_LINE", &number.to_string());
    }
    let fields = line.fields.0.iter().filter(|field| field.name != "message");
    for Value { name, value, .. } in line.around.iter().chain(fields) {
        put(&mut bytes, &field_name(name), value);
    }
    bytes
}

/// Letters, digits and underscores are all that a name may have (systemd.journal-fields(7)).
fn field_name(name: &str) -> String {
    let upper = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    PREFIX.chars().chain(upper).map(|c| c.to_ascii_uppercase()).collect()
}

/// A value of several lines goes with its length, eight bytes, the least first.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or_default();
        bytes.extend_from_slice(&length.to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

/// As syslog(3) has them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tracing::{error, info, info_span, warn};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    use super::*;

    /// A socket in place of the journal's.
    struct Listener {
        _folder: TempDir,
        socket: UnixDatagram,
        address: PathBuf,
    }

    impl Listener {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let address = folder.path().join("socket");
            Self { socket: UnixDatagram::bind(&address).unwrap(), address, _folder: folder }
        }

        /// The record of what `log` logs, as text.
        fn hear(&self, log: impl FnOnce()) -> String {
            let journal = Journal::open(&self.address).unwrap();
            let _guard = tracing_subscriber::registry().with(journal).set_default();
            log();
            let mut bytes = [0; 4096];
            let length = self.socket.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        }
    }

    #[test]
    fn a_record_has_the_module_of_its_span_and_says_it_in_words() {
        let record = Listener::new().hear(|| {
            let _within = info_span!("session", module = %"module01").entered();
            warn!(reason = %"network", detail = "no route", "not connected");
        });
        let fields: Vec<_> = record.lines().filter(|line| !line.starts_with("CODE_")).collect();
        assert_eq!(
            fields,
            [
                "MESSAGE=module01: not connected reason=network detail=\"no route\"",
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=modtwind",
                "MODTWIN_MODULE=module01",
                "MODTWIN_REASON=network",
                "MODTWIN_DETAIL=no route",
            ]
        );
    }

    #[test]
    fn a_value_of_several_lines_cannot_pass_for_another_field() {
        let forged = "x\nPRIORITY=0\nMODTWIN_MODULE=other";
        let record = Listener::new().hear(|| error!(error = %forged, "odd"));
        let length = u8::try_from(forged.len()).unwrap();
        let expected = format!("MODTWIN_ERROR\n{}\0\0\0\0\0\0\0{forged}\n", char::from(length));
        assert!(record.ends_with(&expected), "{record:?}");
    }

    #[test]
    fn names_are_those_that_the_journal_takes() {
        assert_eq!(field_name("gap_ms"), "MODTWIN_GAP_MS");
        assert_eq!(field_name("otel.kind"), "MODTWIN_OTEL_KIND");
    }

    #[test]
    fn a_journal_that_nobody_listens_at_is_refused_and_one_that_goes_is_survived() {
        let listener = Listener::new();
        let journal = Journal::open(&listener.address).unwrap();
        let address = listener.address.clone();
        drop(listener);
        assert!(Journal::open(&address).is_err());
        let _guard = tracing_subscriber::registry().with(journal).set_default();
        info!("goes to standard error");
    }

    #[test]
    fn a_variable_that_names_another_stream_is_not_believed() {
        assert!(!is_standard_error(OsStr::new("")));
        assert!(!is_standard_error(OsStr::new("1:2")));
        let own = nix::sys::stat::fstat(std::io::stderr()).unwrap();
        let own = format!("{}:{}", own.st_dev, own.st_ino);
        assert!(is_standard_error(OsStr::new(&own)));
    }
}
