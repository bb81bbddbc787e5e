//! Completions and pages out of the definitions of the command lines.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

/// What follows the generated part of modtwinctl(1).
const MODTWINCTL_END: &str = r#".SH "EXIT STATUS"
.TP
0
Done.
.TP
1
It did not work.
.TP
64
The command line is wrong.
.TP
69
Nobody answers at the socket.
.TP
77
This user may not do that.
.TP
78
The config, or a file that it names, is wrong.
.SH ENVIRONMENT
.TP
\fBMODTWIN_SOCKET\fR
The daemon's socket, where \fB\-\-socket\fR names none.
.TP
\fBIOTHUB_CONNECTION_STRING\fR, \fBIOTHUB_EMULATOR\fR
The hub of \fBmodtwinctl hub\fR, where its options name none.
.TP
\fBNO_COLOR\fR
Set to anything, it keeps colours away.
.SH HOOKS
\fBmodtwin\-hook@\fR\fIMODULE\fR\fB.service\fR runs
\fI/etc/modtwin/hooks/MODULE\fR for each change of the module's desired
properties, by \fBmodtwinctl watch\fR \fIMODULE\fR \fB\-\-exec\fR, as a user of
its own that exists only meanwhile:
.PP
.RS 4
.EX
install \-m 0755 apply.sh /etc/modtwin/hooks/module01
systemctl enable \-\-now modtwin\-hook@module01
.EE
.RE
.PP
and in the config, below the module:
.PP
.RS 4
.EX
[[module.handler]]
name = "hook"
unit = "modtwin\-hook@module01.service"
.EE
.RE
.PP
Another user, another command or folders that the hook may write to are a
drop\-in: \fBsystemctl edit modtwin\-hook@\fR\fIMODULE\fR.
.SH "SEE ALSO"
\fBmodtwind\fR(8), \fBmodtwind.toml\fR(5), \fBmodtwin\-local\-api\fR(7)
"#;

/// The completion scripts, by the path of their file.
pub(crate) fn completions() -> Vec<(String, String)> {
    let shells = [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")];
    let mut scripts = Vec::new();
    for (mut command, name) in [
        (modtwinctl::cli::Cli::command(), "modtwinctl"),
        (modtwind::cli::Arguments::command(), "modtwind"),
    ] {
        for (shell, ending) in shells {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, name, &mut script);
            let path = format!("packaging/completions/{name}.{ending}");
            scripts.push((path, String::from_utf8(script).unwrap()));
        }
    }
    scripts
}

/// modtwinctl(1): one page with all commands.
pub(crate) fn modtwinctl() -> String {
    let mut command = modtwinctl::cli::Cli::command().after_help("");
    command.build();
    let mut page = String::from(".\\\" Written by cargo xtask man.\n");
    page.push_str(&head(&command));
    let options = options(&command);
    let _infallible = write!(page, ".SH OPTIONS\n{options}.SH COMMANDS\n");
    let global: Vec<String> =
        command.get_arguments().map(|argument| argument.get_id().to_string()).collect();
    for sub in command.get_subcommands() {
        sections_of(sub, &global, &mut page);
    }
    page.push_str(MODTWINCTL_END);
    page
}

/// The options of modtwind(8).
pub(crate) fn modtwind_options() -> String {
    let mut command = modtwind::cli::Arguments::command();
    command.build();
    options(&command)
}

fn head(command: &Command) -> String {
    let man = Man::new(command.clone()).section("1").source("modtwin").manual("modtwin").date("");
    let text = rendered(|out| {
        man.render_title(out)?;
        // Names of programs and keys are not to be parted.
        writeln!(out, ".nh\n.ad l")?;
        man.render_name_section(out)?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)
    });
    // A date that is left out must still be there for what follows it to be in its place.
    text.replacen(".TH modtwinctl 1  ", ".TH modtwinctl 1 \"\" ", 1)
}

/// A command of a command, and those below it.
fn sections_of(sub: &Command, global: &[String], page: &mut String) {
    page.push_str(&section_of(sub.clone(), global));
    let own = sub.get_arguments().filter(|argument| argument.is_global_set());
    let own = own.map(|argument| argument.get_id().to_string());
    let global: Vec<String> = global.iter().cloned().chain(own).collect();
    for below in sub.get_subcommands() {
        sections_of(below, &global, page);
    }
}

/// A command of a command: what it does, its arguments, and what its help says at the end. What
/// holds for all commands (`global`) is told once, above.
fn section_of(sub: Command, global: &[String]) -> String {
    let is_global = |id: &str| id == "help" || id == "version" || global.iter().any(|it| it == id);
    let hidden: Vec<String> = sub
        .get_arguments()
        .map(|argument| argument.get_id().to_string())
        .filter(|id| is_global(id))
        .collect();
    let title = sub.get_bin_name().unwrap_or(sub.get_name()).to_owned();
    let after = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
    let usage = sub.get_positionals().map(|argument| argument.to_string()).collect::<Vec<_>>();
    let sub =
        hidden.into_iter().fold(sub, |sub, id| sub.mut_arg(id, |argument| argument.hide(true)));
    let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!(
        ".SS {}\n{}.\n",
        escape(&format!("{title} {}", usage.join(" "))).trim_end(),
        escape(&about)
    );
    text.push_str(&options(&sub));
    let mut is_example = false;
    for paragraph in after.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        for line in paragraph.lines() {
            // Indented lines are what somebody types.
            if line.starts_with("  ") != is_example {
                is_example = !is_example;
                text.push_str(if is_example { ".PP\n.RS 4\n.EX\n" } else { ".EE\n.RE\n" });
            } else if !is_example {
                text.push_str(".PP\n");
            }
            let _infallible = writeln!(text, "{}", escape(line.trim()));
        }
    }
    if is_example {
        text.push_str(".EE\n.RE\n");
    }
    text
}

/// The options and arguments of a command, without a heading.
fn options(command: &Command) -> String {
    let visible = |argument: &&clap::Arg| !argument.is_hide_set();
    if command.get_arguments().filter(visible).count() == 0 {
        return String::new();
    }
    let text = rendered(|out| Man::new(command.clone()).render_options_section(out));
    text.lines()
        .filter(|line| !line.starts_with(".SH"))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn rendered(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).unwrap();
    // Every rendering brings its own preamble; clap leaves spaces at the ends of lines.
    String::from_utf8(out)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with(".ie \\n(.g") && !line.starts_with(".el .ds Aq"))
        .map(|line| line.trim_end().replace("\\*(Aq", "'"))
        .fold(String::new(), |text, line| text + &line + "\n")
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
