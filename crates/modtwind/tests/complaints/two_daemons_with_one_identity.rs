//! "Two devices with one identity throw each other out for ever", and nobody says why.

use modtwin_api::{HubReason, HubState, Status};
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{Gateway, Validity};
use modtwin_testkit::stage::Stage;

use crate::{M, MODTWIND, Story};

#[tokio::test]
async fn two_gateways_that_share_an_identity_are_told_so() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let mut twin = Gateway::new(stage.hub.address())?;
    let authority = stage.hub.authority()?;
    twin.certify(M, &authority, KeyKind::EcP256, Validity::Good)?;
    twin.add_module(M, &Gateway::certificate_lines(M));
    let second = twin.start(std::path::Path::new(MODTWIND)).await?;
    let conflict = |status: &Status| status.modules[0].hub.reason == HubReason::IdentityConflict;
    tokio::select! {
        first = stage.gateway.wait_for("the first to suspect the second", conflict) => first?,
        second = twin.wait_for("the second to suspect the first", conflict) => second?,
    };
    // Once the other is gone, the one that is left has the identity to itself.
    drop(second);
    let status = stage.gateway.wait_connected(1).await?;
    assert_eq!(status.modules[0].hub.state, HubState::Connected);
    Ok(())
}
