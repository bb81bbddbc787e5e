//! docs/local-api.md as a manual page: what that page uses of Markdown, in roff.

use std::fmt::Write as _;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

const HEAD: &str = r#".\" Written by cargo xtask man from docs/local-api.md.
.TH modtwin\-local\-api 7 "" modtwin modtwin
.nh
.ad l
.SH NAME
modtwin\-local\-api \- what local processes and modtwind say to each other
.SH DESCRIPTION
"#;

const END: &str = r#".SH "SEE ALSO"
\fBmodtwind\fR(8), \fBmodtwinctl\fR(1), \fBmodtwind.toml\fR(5)
"#;

/// The page.
pub(crate) fn page(markdown: &str) -> String {
    let mut writer = Writer { out: HEAD.to_owned(), ..Writer::default() };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        writer.take(event);
    }
    writer.out.push_str(END);
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    /// The text of the paragraph, heading, item or cell that is being read.
    text: String,
    /// Of each list that is open: the number of the next item, where it has numbers.
    lists: Vec<Option<u64>>,
    /// The paragraph begins an item: its tag is its beginning.
    begins_item: bool,
    in_code: bool,
    in_title: bool,
    /// The cells of the row so far.
    row: Vec<String>,
}

impl Writer {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_code => self.out.push_str(&example(&text)),
            Event::Text(text) => self.text.push_str(&escape(&text)),
            Event::Code(code) => {
                let _infallible = write!(self.text, "\\fB{}\\fR", escape(&code));
            }
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            other => panic!("docs/local-api.md: nobody has told how {other:?} looks in a manual"),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.in_title = *level == HeadingLevel::H1,
            Tag::List(first) => {
                self.flush();
                self.lists.push(*first);
            }
            Tag::Item => {
                let tag = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. 4", *number - 1)
                    }
                    _ => "\\(bu 2".to_owned(),
                };
                let _infallible = writeln!(self.out, ".IP {tag}");
                self.begins_item = true;
            }
            Tag::CodeBlock(_) => {
                self.flush();
                self.out.push_str(".PP\n.RS 4\n.EX\n");
                self.in_code = true;
            }
            Tag::Strong => self.text.push_str("\\fB"),
            Tag::Emphasis => self.text.push_str("\\fI"),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                let title = std::mem::take(&mut self.text);
                if !std::mem::take(&mut self.in_title) {
                    let _infallible = writeln!(self.out, ".SH \"{}\"", title.to_uppercase());
                }
            }
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::CodeBlock => {
                self.out.push_str(".EE\n.RE\n");
                self.in_code = false;
            }
            TagEnd::Strong | TagEnd::Emphasis => self.text.push_str("\\fR"),
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.text)),
            // The columns' names say little that the cells do not.
            TagEnd::TableHead => self.row.clear(),
            TagEnd::TableRow => {
                let body = self.row.pop().unwrap_or_default();
                let _infallible = writeln!(self.out, ".TP\n{}\n{body}", self.row.join(" "));
                self.row.clear();
            }
            _ => {}
        }
    }

    /// Writes the paragraph that is open, if any.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        if !std::mem::take(&mut self.begins_item) {
            self.out.push_str(".PP\n");
        }
        for line in text.lines() {
            let _infallible = writeln!(self.out, "{}", guarded(line.trim()));
        }
    }
}

fn example(code: &str) -> String {
    code.lines().fold(String::new(), |text, line| text + &guarded(&escape(line)) + "\n")
}

/// A line that begins like a request, and is none.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-")
}
