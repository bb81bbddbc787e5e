//! Service clients: registry, modules, twins, methods and query. The programs check what they get by themselves.

use crate::hub;
use crate::program::{command, succeeds};

#[tokio::test]
async fn the_node_service_sdk_manages_a_hub() {
    let hub = hub::start().await;
    let mut command = command("node/service.js");
    command
        .env("CONNECTION_STRING", hub.running.connection_string())
        .env("CA", hub.running.ca())
        .env("NODE_EXTRA_CA_CERTS", hub.running.ca());
    succeeds(command).await;
}

#[tokio::test]
async fn the_python_service_sdk_manages_a_hub() {
    let hub = hub::start().await;
    let mut command = command("python/service.py");
    command
        .env("CONNECTION_STRING", hub.running.connection_string())
        .env("CA", hub.running.ca())
        .env("REQUESTS_CA_BUNDLE", hub.running.ca());
    succeeds(command).await;
}
