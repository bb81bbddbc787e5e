//! What is shipped for monitoring speaks of metrics that the daemon has: the page, the dashboard, the
//! alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use modtwin_testkit::raw;
use modtwin_testkit::stage::Stage;
use serde_json::Value;

use crate::{MODTWIND, Story};

const RULES: &str = "packaging/prometheus/modtwin.rules.yml";

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(file(path)).with_context(|| format!("cannot read `{path}`"))
}

/// The rows of the page's table, as the daemon itself describes its metrics; by the names that
/// samples have.
async fn described() -> anyhow::Result<Vec<(String, String)>> {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    stage.start_daemon().await?;
    let request = raw::request("GET", "/metrics", None);
    let text = String::from_utf8(raw::exchange(&stage.gateway.socket(), request.as_bytes())?)?;
    let of = |keyword: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(keyword));
        lines.filter_map(|rest| rest.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect()
    };
    let kinds = of("# TYPE ");
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    helps
        .map(|(name, help)| {
            let kind = kinds.get(name).with_context(|| format!("{name} has no type"))?;
            let ending = if kind == "counter" { "_total" } else { "" };
            Ok((format!("{name}{ending}"), format!("| `{name}{ending}` | {kind} | {help} |")))
        })
        .collect()
}

/// Every name of a metric in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).filter(|word| word.starts_with("modtwin_")).collect()
}

#[tokio::test]
async fn the_page_lists_every_metric_as_the_daemon_describes_it() -> Story {
    let page = read("docs/monitoring.md")?;
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `modtwin_")).collect();
    let expected: Vec<String> = described().await?.into_iter().map(|(_, row)| row).collect();
    assert_eq!(rows, expected, "put this into docs/monitoring.md:\n{}", expected.join("\n"));
    Ok(())
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_metrics_that_there_are() -> Story {
    let known: BTreeSet<String> = described().await?.into_iter().map(|(name, _)| name).collect();
    for path in [RULES, "packaging/grafana/modtwin.json"] {
        let text = read(path)?;
        let asked = names(&text);
        assert!(asked.len() > 5, "{path}: {asked:?}");
        let unknown: Vec<_> = asked.iter().filter(|name| !known.contains(**name)).collect();
        assert!(unknown.is_empty(), "{path} asks for {unknown:?}");
    }
    Ok(())
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_do() -> Story {
    let rules = read(RULES)?;
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 8, "{}", alerts.len());
    for alert in alerts {
        for part in ["expr: ", "severity: ", "summary: ", "action: "] {
            assert!(alert.contains(part), "no {part}in {alert}");
        }
    }
    Ok(())
}

#[test]
fn alerts_fire_when_they_should_as_prometheus_itself_judges() -> Story {
    let tool = |command: &str, path: &str| {
        Command::new("promtool").args([command, "rules"]).arg(file(path)).output()
    };
    let Ok(checked) = tool("check", RULES) else {
        println!("skipped: no promtool; Debian has it in the package prometheus");
        return Ok(());
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tested = tool("test", "crates/modtwind/tests/process/alerts.test.yml")?;
    let said = [tested.stdout.as_slice(), &tested.stderr].concat();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
fn the_dashboard_can_be_imported_into_any_grafana() -> Story {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/modtwin.json")?)?;
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version <= 38));
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    assert_eq!(dashboard.get("id"), None, "an id belongs to one Grafana");
    let panels = dashboard["panels"].as_array().context("no panels")?;
    for panel in panels {
        let targets = panel["targets"].as_array().context("no targets")?;
        for source in targets.iter().chain([panel]).map(|from| &from["datasource"]["uid"]) {
            assert_eq!(source, "${datasource}", "{}", panel["title"]);
        }
    }
    let numbers: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(numbers.len(), panels.len(), "panels share a number");
    Ok(())
}
