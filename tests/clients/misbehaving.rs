//! What a real daemon does seldom or never: being overloaded, falling silent, ending within a line,
//! speaking of things that came later, speaking nonsense.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Story;
use crate::actor::{Actor, SILENCE};
use crate::languages;
use crate::scripted::{Connection, Scripted, desired, problem, snapshot, unchanged};

/// Plays `story` in each language at the same time, each with a daemon of its own.
pub(crate) fn each(
    silence: f64,
    script: impl Fn(Connection) + Clone + Send + Sync + 'static,
    story: impl AsyncFn(&mut Actor, &Scripted) -> Story + Sync,
) -> Story {
    let play = |language, script| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build()?.block_on(async {
            let daemon = Scripted::serve(script);
            let mut actor = Actor::start(language, "m", &daemon.socket(), silence, None)?;
            story(&mut actor, &daemon).await?;
            actor.leave().await
        })
    };
    std::thread::scope(|scope| {
        let plays: Vec<_> = languages::all()
            .iter()
            .map(|language| {
                let (play, script) = (&play, script.clone());
                scope.spawn(move || play(*language, script))
            })
            .collect();
        plays.into_iter().try_for_each(|playing| playing.join().unwrap())
    })
}

fn is(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |heard| heard["event"] == kind
}

#[test]
fn an_overloaded_daemon_is_left_alone_for_as_long_as_it_asks() -> Story {
    let script = |mut connection: Connection| {
        if connection.number == 0 {
            return connection.answer(429, "Retry-After: 1\r\n", &problem(429, "overloaded"));
        }
        connection.begin();
        connection.line(&snapshot(1, &json!({})));
        connection.hold();
    };
    each(SILENCE, script, async |actor, daemon| {
        actor.say("watch m").await?;
        let heard = actor.hear("a snapshot", is("snapshot")).await?;
        assert_eq!(
            (&heard[0]["event"], &heard[0]["kind"], heard[0]["retry_after"].as_f64()),
            (&json!("lost"), &json!("overloaded"), Some(1.0)),
            "{heard:?}"
        );
        let (first, second) = (daemon.request(), daemon.request());
        assert!(second.at - first.at >= Duration::from_secs(1), "{:?}", actor.language);
        Ok(())
    })
}

#[test]
fn a_request_that_is_too_much_says_when_to_try_again() -> Story {
    says_when_to_try_again("7", 7.0)
}

#[test]
fn a_daemon_keeps_nobody_away_for_more_than_an_hour() -> Story {
    says_when_to_try_again("4000000000", 3600.0)
}

fn says_when_to_try_again(said: &'static str, heard: f64) -> Story {
    let script = move |mut connection: Connection| {
        let header = format!("retry-after: {said}\r\n");
        connection.answer(429, &header, &problem(429, "overloaded"));
    };
    each(SILENCE, script, async |actor, _daemon| {
        actor.say("report m {\"a\":1}").await?;
        let result = actor.done("report").await?;
        assert_eq!(
            (&result["kind"], result["retry_after"].as_f64()),
            (&json!("overloaded"), Some(heard)),
            "{:?}",
            actor.language
        );
        Ok(())
    })
}

#[test]
fn what_came_later_than_this_client_is_passed_over() -> Story {
    let script = |mut connection: Connection| {
        connection.begin();
        connection.line(&snapshot(1, &json!({"x": 1})));
        connection.line(&json!({"type": "of_a_newer_version", "version": {"much": "more"}}));
        connection.chunk("\n\n");
        connection.line(&desired(2, &json!({"x": 2})));
        connection.hold();
    };
    each(SILENCE, script, async |actor, _daemon| {
        actor.say("watch m").await?;
        let heard = actor.hear("the change", |heard| heard["desired"] == json!({"x": 2})).await?;
        let events: Vec<&Value> = heard.iter().map(|heard| &heard["event"]).collect();
        assert_eq!(events, ["snapshot", "desired"], "{:?}", actor.language);
        Ok(())
    })
}

#[test]
fn a_snapshot_in_mid_stream_is_taken_as_the_first_was() -> Story {
    let script = |mut connection: Connection| {
        connection.begin();
        if connection.number == 0 {
            connection.line(&snapshot(2, &json!({"mine": 1, "yours": 2})));
            connection.line(&snapshot(3, &json!({"mine": 1})));
            return connection.end();
        }
        connection.line(&unchanged(3));
        connection.line(&desired(4, &json!({"mine": 4})));
        connection.hold();
    };
    each(SILENCE, script, async |actor, daemon| {
        actor.say("watch m").await?;
        let heard = actor.hear("the change", is("desired")).await?;
        let events: Vec<&Value> = heard.iter().map(|heard| &heard["event"]).collect();
        let expected = ["snapshot", "snapshot", "lost", "snapshot", "desired"];
        assert_eq!(events, expected, "{:?}", actor.language);
        let again = &heard[1];
        assert_eq!((&again["version"], &again["desired"]), (&json!(3), &json!({"mine": 1})));
        let (_first, second) = (daemon.request(), daemon.request());
        assert!(second.text.contains("since=1.3"), "{}", second.text);
        Ok(())
    })
}

#[test]
fn lines_may_come_in_any_pieces() -> Story {
    let script = |mut connection: Connection| {
        connection.begin();
        let long = "ü\u{1F600}".repeat(20_000);
        let lines = [snapshot(1, &json!({"long": long})), desired(2, &json!({"ä": "ö"}))];
        let text = lines.map(|line| format!("{line}\n")).concat();
        for (number, letter) in text.chars().enumerate() {
            // The first ones alone, then a chunk of many: both cuts occur.
            if number < 100 {
                connection.chunk(&letter.to_string());
            }
        }
        let rest: String = text.chars().skip(100).collect();
        // Within a chunk the socket may cut anywhere, in a letter too.
        connection.chunk(&rest);
        connection.hold();
    };
    each(SILENCE, script, async |actor, _daemon| {
        actor.say("watch m").await?;
        let heard = actor.hear("the change", |heard| heard["desired"] == json!({"ä": "ö"})).await?;
        let long = heard[0]["desired"]["long"].as_str().map(|long| long.chars().count());
        assert_eq!(long, Some(40_000), "{:?}", actor.language);
        Ok(())
    })
}

#[test]
fn heartbeats_keep_a_stream_alive_and_silence_ends_it() -> Story {
    let script = |mut connection: Connection| {
        connection.begin();
        if connection.number > 0 {
            connection.line(&unchanged(1));
            return connection.hold();
        }
        connection.line(&snapshot(1, &json!({})));
        // Longer than the silence that counts as death, but for the signs of life.
        for _ in 0..6 {
            connection.quiet(Duration::from_millis(500));
            connection.line(&json!({"type": "heartbeat"}));
        }
        connection.hold();
    };
    each(2.0, script, async |actor, daemon| {
        actor.say("watch m").await?;
        let heard = actor.hear("a snapshot again", |heard| heard["unchanged"] == true).await?;
        let events: Vec<&Value> = heard.iter().map(|heard| &heard["event"]).collect();
        assert_eq!(events, ["snapshot", "lost", "snapshot"], "{:?}", actor.language);
        let (first, second) = (daemon.request(), daemon.request());
        let apart = second.at - first.at;
        assert!(apart > Duration::from_millis(4500), "{:?}: {apart:?}", actor.language);
        assert!(second.text.contains("since=1.1"), "{}", second.text);
        Ok(())
    })
}

#[test]
fn half_a_line_is_no_event_however_the_stream_ends() -> Story {
    let script = |mut connection: Connection| {
        connection.begin();
        match connection.number {
            0 => {
                connection.line(&snapshot(1, &json!({"x": 1})));
                // The daemon is killed.
                connection.write("ff\r\n{\"type\":\"desired\",\"module\":\"m\",\"gener");
            }
            1 => {
                connection.line(&unchanged(1));
                connection.chunk("{\"type\":\"removed\",\"module\":\"m\"}");
                connection.end();
            }
            _ => {
                connection.line(&desired(2, &json!({"x": 2})));
                connection.hold();
            }
        }
    };
    each(SILENCE, script, async |actor, daemon| {
        actor.say("watch m").await?;
        let heard = actor.hear("the change", |heard| heard["desired"] == json!({"x": 2})).await?;
        let events: Vec<&Value> = heard.iter().map(|heard| &heard["event"]).collect();
        let expected = ["snapshot", "lost", "snapshot", "lost", "desired"];
        assert_eq!(events, expected, "{:?}", actor.language);
        let requests = [daemon.request(), daemon.request(), daemon.request()];
        assert!(!requests[0].text.contains("since"), "{}", requests[0].text);
        assert!(requests[1..].iter().all(|request| request.text.contains("since=1.1")));
        Ok(())
    })
}

#[test]
fn a_line_without_end_and_nonsense_are_refused() -> Story {
    for text in ["no json\n", "[1]\n", "{\"type\":\"hub\"", "{\"type\":1e}\n", "endless"] {
        let text = match text {
            "endless" => "x".repeat(2 * 1024 * 1024),
            "{\"type\":\"hub\"" => "{\"type\":\"hub\",}\n".to_owned(),
            other => other.to_owned(),
        };
        let script = move |mut connection: Connection| {
            connection.begin();
            connection.chunk(&text);
            connection.hold();
        };
        each(SILENCE, script, async |actor, _daemon| {
            actor.say("watch m").await?;
            let heard = actor.hear("the failure", |_any| true).await?;
            assert_eq!(
                (&heard[0]["event"], &heard[0]["error"]),
                (&json!("failed"), &json!("protocol"))
            );
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn who_speaks_no_http_is_told_from_nobody() -> Story {
    let script = |mut connection: Connection| connection.write("SSH-2.0-OpenSSH\r\n\r\n");
    each(SILENCE, script, async |actor, _daemon| {
        actor.say("get m").await?;
        let result = actor.done("get").await?;
        assert_eq!(result["error"], "protocol", "{:?}", actor.language);
        Ok(())
    })
}
