//! The program: arguments in, facts out, signals to an orderly end. Everything else is the library's.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use iothub_emulator::{Config, Emulator, Rules};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// A local Azure IoT Hub: MQTT over TLS, twins, service REST API and faults on command.
#[derive(Debug, Parser)]
#[command(version, after_long_help = LESSON)]
struct Arguments {
    /// Folder to keep everything in: CA, keys, identities, twins. Without it a temporary one is used and removed at
    /// the end
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Address to listen on; anything in 127.0.0.0/8 is this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The hub's name: clients put it into user names and tokens, the server certificate carries it
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    hostname: String,
    /// Port of MQTT over TLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    mqtt_port: u16,
    /// Port of HTTPS: service REST API and control API; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    https_port: u16,
    /// Most modules a device may have
    #[arg(long, value_name = "N", default_value_t = 50)]
    max_modules: usize,
    /// Seed of everything random about faults; the same seed, the same dice
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let level = std::env::var("IOTHUB_EMULATOR_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(tracing::level_filters::LevelFilter::WARN);
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).init();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(arguments))
}

/// Takes as many file descriptors as allowed: each connection is one, and the usual soft limit is 1,024.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(error = %error, "cannot raise the limit of open files");
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let config = Config {
        dir: arguments.dir,
        listen: arguments.listen,
        hostname: arguments.hostname,
        mqtt_port: arguments.mqtt_port,
        https_port: arguments.https_port,
        seed: arguments.seed,
        rules: Rules { max_modules: arguments.max_modules, ..Rules::default() },
    };
    let running = Box::pin(Emulator::start(config)).await?;
    let facts =
        serde_json::to_string(running.facts()).context("cannot write what the emulator offers")?;
    // A closed stdout is no reason to end: DIR/emulator.json says the same.
    let _ = writeln!(std::io::stdout(), "{facts}").and_then(|()| std::io::stdout().flush());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.shutdown().await;
    Ok(())
}

const LESSON: &str = "\
When it serves, it prints one line of JSON (also in DIR/emulator.json): ports, the CA certificate to trust, and the
service's connection string. The HostName in it carries no port; REST goes to https_port.

A first session, with curl and jq (SAS: a token of the policy in the connection string):

  iothub-emulator --dir hub &
  HUB=https://localhost:8443  V=api-version=2021-04-12
  curl --cacert hub/ca.pem -X PUT \"$HUB/devices/gw01?$V\" -H \"Authorization: $SAS\" -d '{}'
  curl --cacert hub/ca.pem -X PUT \"$HUB/devices/gw01/modules/cam?$V\" -H \"Authorization: $SAS\" \\
       -d '{\"authentication\":{\"type\":\"certificateAuthority\"}}'
  curl --cacert hub/ca.pem -X PATCH \"$HUB/twins/gw01/modules/cam?$V\" -H \"Authorization: $SAS\" \\
       -d '{\"properties\":{\"desired\":{\"fps\":25}}}'

Certificates with CN=gw01/cam that hub/ca.key signed are taken; register other CAs at /emulator/v1/cas (PEM).

Make it misbehave, and watch (no token needed):

  curl --cacert hub/ca.pem $HUB/emulator/v1/events
  curl --cacert hub/ca.pem $HUB/emulator/v1/faults -d '{\"kind\":\"drop\",\"device\":\"gw01\",\"for\":\"10s\"}'
  curl --cacert hub/ca.pem $HUB/emulator/v1/clock -d '{\"shift\":\"2h\"}'

Kinds: drop, refuse, stall, blackhole, delay, throttle, error, lose-desired, duplicate-desired, reorder-desired,
lose-response, quota, recreate, disable, expire; each takes device, module, count, for, chance.

Not imitated: AMQP and the Event Hubs endpoint (telemetry is in the event stream), MQTT over WebSockets, MQTT 5, file
upload, jobs, cloud-to-device messages, IoT Edge, a web page. Log level: IOTHUB_EMULATOR_LOG=debug.";
