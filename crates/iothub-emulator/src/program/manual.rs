//! The manual page: from the command line's definition, with tables of what is imitated and of what can go wrong.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;

use super::arguments::Arguments;

/// Prints the page as roff.
pub(crate) fn print() -> anyhow::Result<()> {
    let page = page().context("cannot write the manual")?;
    std::io::stdout().write_all(page.as_bytes()).context("cannot write the manual to stdout")
}

fn page() -> anyhow::Result<String> {
    let command = Arguments::command().disable_help_subcommand(true);
    let man = Man::new(command.clone()).section("1").manual("modtwin");
    let mut head = Vec::new();
    man.render_title(&mut head)?;
    man.render_name_section(&mut head)?;
    man.render_synopsis_section(&mut head)?;
    man.render_description_section(&mut head)?;
    man.render_options_section(&mut head)?;
    let mut page = format!("'\\\" t\n{}", String::from_utf8(head)?);
    page.push_str(".SH COMMANDS\n");
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let man = Man::new(sub.clone().bin_name(format!("iothub-emulator {}", sub.get_name())));
        let mut body = Vec::new();
        man.render_synopsis_section(&mut body)?;
        man.render_description_section(&mut body)?;
        man.render_options_section(&mut body)?;
        let _ = writeln!(page, ".SS {}", sub.get_name());
        let body = String::from_utf8(body)?;
        let lines = body.lines().filter(|line| !is_preamble(line));
        for line in lines {
            // A command's parts are paragraphs of its own section, not sections of the page.
            let is_heading = line.starts_with(".SH");
            let _ = writeln!(page, "{}", if is_heading { ".PP" } else { line });
        }
    }
    page.push_str(&lesson_as_written(&command));
    page.push_str(".SH IMITATED AND NOT\n");
    table(&mut page, ["part of the hub", "imitated", "remarks"], &IMITATED);
    page.push_str(".SH FAULTS\n");
    text(&mut page, FAULTS_INTRODUCTION);
    table(&mut page, ["kind", "also takes", "what happens"], &FAULTS);
    for (heading, paragraphs) in SECTIONS {
        let _ = writeln!(page, ".SH {heading}");
        text(&mut page, paragraphs);
    }
    Ok(page)
}

/// Says whether a line only prepares the renderer, which is done once at the page's head.
fn is_preamble(line: &str) -> bool {
    line.starts_with(".ie") || line.starts_with(".el")
}

/// Gives the lesson of `--help` as an example, line by line: filled, its commands would run together.
fn lesson_as_written(command: &clap::Command) -> String {
    let lesson = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let mut out = ".SH EXAMPLES\n.nf\n".to_owned();
    for line in lesson.lines() {
        let _ = writeln!(out, "{}", escaped(line));
    }
    out.push_str(".fi\n");
    out
}

fn text(page: &mut String, paragraphs: &str) {
    for paragraph in paragraphs.split("\n\n") {
        page.push_str(".PP\n");
        for line in paragraph.lines() {
            let _ = writeln!(page, "{}", escaped(line));
        }
    }
}

fn table(page: &mut String, heads: [&str; 3], rows: &[[&str; 3]]) {
    // Left-aligned: narrow columns can't be filled evenly.
    page.push_str(".na\n.TS\ntab(|);\nlb lb lb\nlt lt lx.\n");
    let _ = writeln!(page, "{}", heads.join("|"));
    for [first, second, third] in rows {
        let cells = [first, second, third].map(|cell| escaped(cell));
        let [first, second, third] = cells;
        let _ = writeln!(page, "T{{\n{first}\nT}}|T{{\n{second}\nT}}|T{{\n{third}\nT}}");
    }
    page.push_str(".TE\n.ad\n");
}

/// Escapes what roff would read as more than a letter.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

const IMITATED: [[&str; 3]; 33] = [
    [
        "MQTT 3.1.1 over TLS",
        "yes",
        "port 8883; QoS 0 and 1, wills, take-over by the newer connection",
    ],
    ["MQTT over WebSockets", "yes", "/$iothub/websocket on the HTTPS port"],
    ["MQTT 5", "no", "level 5 is refused with code 1"],
    ["AMQP, AMQP over WebSockets", "no", ""],
    ["HTTPS as a device", "no", "no telemetry by POST, no long polling"],
    ["SAS tokens of devices, modules and policies", "yes", "clocks may differ by 5 minutes"],
    [
        "X.509 by thumbprint, and by chain and common name",
        "yes",
        "register CAs with POST /emulator/v1/cas",
    ],
    ["proof of possession of CAs, revocation lists", "no", ""],
    ["Entra tokens, IP filters, private links", "no", ""],
    ["device provisioning service", "no", ""],
    [
        "device and module registry",
        "yes",
        "with preconditions, error bodies and codes; no bulk import or export",
    ],
    [
        "modules a device may have",
        "yes",
        "50, or --max-modules (documents say 20 and 50): 413 TooManyModulesOnDevice",
    ],
    [
        "policies and their rights",
        "yes",
        "iothubowner, service, device, registryRead, registryReadWrite; a device's own key manages its modules",
    ],
    ["api-version", "in part", "any date is taken and answered as 2021-04-12"],
    ["twins of devices and modules", "yes", "versions, metadata, etags, limits, notifications"],
    [
        "query language",
        "in part",
        "select * | paths [as name] | count() sum() avg() min() max(), top, from devices | devices.modules, where with and or not ( ) = != <> < <= > >= in nin is_defined startswith endswith contains, group by, pages; no joins, arithmetic, order by, jobs; what is written is found at once",
    ],
    ["direct methods", "yes", "connect and response time-outs; 10 at once"],
    ["jobs, configurations, automatic device management", "no", ""],
    ["cloud-to-device messages, feedback", "no", ""],
    ["file upload", "no", ""],
    [
        "telemetry",
        "yes",
        "shown by GET /emulator/v1/events; there is no Event Hubs endpoint, no routing, no enrichment, and nothing is kept",
    ],
    [
        "lifecycle, connection and twin-change events",
        "in part",
        "in the same stream, in a form of its own",
    ],
    [
        "throttles and daily quota",
        "in part",
        "with --tier: a period's amount passes at once, then requests wait for up to 10 s, then 429, 403 or a closed link; the quota is counted anew at each start",
    ],
    ["traffic of each device within the hub's", "no", "no limits of a single device"],
    [
        "IoT Edge, GatewayHostName, inputs and outputs",
        "no",
        "module ids starting with $ are refused",
    ],
    [
        "IoT Plug and Play",
        "in part",
        "the model id is taken and shown; nothing is checked against a model",
    ],
    ["statistics", "yes", "exact, where the hub's are approximate"],
    [
        "metrics, logs, diagnostics, distributed tracing",
        "no",
        "GET /emulator/v1/stats has counters",
    ],
    ["failover, upgrade", "as faults", "recreate, drop, refuse, stall"],
    [
        "time between a write and its echo in queries and connectionState",
        "no",
        "both are up to date",
    ],
    [
        "TLS 1.2 and 1.3",
        "yes",
        "also SHA-1 thumbprints; the server's certificate is signed by the emulator's own CA",
    ],
    [
        "MQTT sessions of clean session 0",
        "yes",
        "subscriptions alone, until the identity is deleted",
    ],
    ["more than one hub", "no", "start more than one emulator, each with its own --listen"],
];

const FAULTS_INTRODUCTION: &str = "\
Ordered with POST /emulator/v1/faults or by a scenario. All take device, module (needs device; a device alone means
itself and its modules; neither means everybody), count (strikes), for (as in 10s) and chance (0 to 1, decided by
--seed). Without count and for a fault lasts until it is deleted with DELETE /emulator/v1/faults[/ID]. Each strike is
an event.";

const FAULTS: [[&str; 3]; 16] = [
    ["drop", "", "links are cut now, without goodbye; with count or for, new ones too"],
    ["refuse", "code", "CONNACK with code, 1 to 5, default 3"],
    ["stall", "", "accepted, never answered: without device TLS itself, with it from CONNECT on"],
    ["blackhole", "", "packets are swallowed both ways while TCP lives"],
    ["delay", "ms, delay", "packets to the client come late, in order"],
    ["throttle", "retry, side", "twin requests get 429; retry is the wait that its text asks for"],
    ["error", "status, side", "twin requests get status, 500 to 599"],
    ["quota", "side", "twin requests get 403, telemetry closes the link"],
    ["lose-desired", "", "a notification is swallowed"],
    ["duplicate-desired", "", "a notification is sent twice"],
    [
        "reorder-desired",
        "ms, delay",
        "a notification waits until the next has passed it, at most so long",
    ],
    ["lose-response", "", "a twin request is carried out and its answer swallowed"],
    ["refuse-message", "", "telemetry closes the link, as hubs do with what they do not take"],
    [
        "recreate",
        "",
        "modules are deleted and created with the same authentication: versions at 1, link cut",
    ],
    ["disable", "", "the device counts as disabled: links cut, CONNECT refused with 5"],
    [
        "expire",
        "",
        "the token or certificate in use is expired: link cut, the same one refused, another one taken",
    ],
];

const SECTIONS: [(&str, &str); 6] = [
    (
        "SCENARIO",
        "\
A TOML file of [[step]] tables. Each has at (how long after the start, as in \"5s\") and one of: kind with the other keys
of a fault; clock = \"2h\", which shifts the hub's clock; end = \"all\", which ends every fault. The file is checked
before the start: every problem is printed with its line, and a mistyped key with the nearest one.",
    ),
    (
        "CONTROL API",
        "\
Below /emulator/v1/ on the HTTPS port, JSON, without a token: GET events (a line of JSON an event), GET stats, GET
identities[/DEVICE[/MODULE]], POST, GET, DELETE faults[/ID], POST clock {\"shift\":\"2h\"}, POST and GET cas. Keys of
identities are not among it: they need a token, or the right to read DIR/emulator.json.

The emulator trusts whoever reaches its port. Leave it on a loopback address.",
    ),
    (
        "FILES",
        "\
DIR/emulator.json: what the running emulator offers, a secret, removed at its end. DIR/ca.pem and DIR/ca.key: its CA,
which counts as registered. DIR/policies.json: keys of the policies. DIR/hub.log: identities and twins, safe against
kill -9. No right beyond writing there is needed, except for ports below 1024.",
    ),
    ("ENVIRONMENT", "IOTHUB_EMULATOR_LOG: off, error, warn (the default), info, debug or trace, to stderr."),
    (
        "EXIT STATUS",
        "0 after SIGTERM or SIGINT and for errands that succeed, 1 when something fails, 2 for wrong arguments.",
    ),
    ("SEE ALSO", "modtwind(8), modtwinctl(1)"),
];
