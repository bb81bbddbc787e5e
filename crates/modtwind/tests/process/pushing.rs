//! Every way in which fleet tools put a config in place is noticed, and nothing but the config is.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use modtwin_api::{HubState, RefusedReason, Status};
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::Stage;

use crate::{MODTWIND, Story};

/// A gateway whose config has a folder of its own, as `/etc/modtwin` is one.
struct Scene {
    stage: Stage,
}

impl Scene {
    /// The daemon with two connected modules and version 0 of its config.
    async fn begin() -> anyhow::Result<Self> {
        let mut stage = Stage::build(MODTWIND, 2).await?;
        let folder = stage.gateway.folder().to_owned();
        for id in ["m01", "m02"] {
            stage.gateway.remove_module(id);
            let file = |ending: &str| folder.join(format!("{id}.{ending}")).display().to_string();
            let (certificate, key) = (file("pem"), file("key"));
            let lines = format!("certificate = \"{certificate}\"\nprivate-key = \"{key}\"\n");
            stage.gateway.add_module(id, &lines);
        }
        fs::create_dir_all(folder.join("etc/modtwin"))?;
        stage.gateway.place_config(folder.join("etc/modtwin/modtwind.toml"));
        stage.start_daemon().await?;
        stage.gateway.wait_connected(2).await?;
        Ok(Self { stage })
    }

    /// The folder of the config.
    fn folder(&self) -> PathBuf {
        self.stage.gateway.folder().join("etc/modtwin")
    }

    fn file(&self) -> PathBuf {
        self.folder().join("modtwind.toml")
    }

    /// The config that calls itself that.
    fn text(&self, version: &str) -> String {
        format!("[fleet]\nversion = \"{version}\"\n\n{}", self.stage.gateway.config_text())
    }

    /// Waits until that version is in force; nobody was disturbed by it.
    async fn wait_version(&self, version: &str) -> anyhow::Result<Status> {
        let status = self
            .stage
            .gateway
            .wait_for(&format!("version {version}"), |status| {
                let state = status.config_state.as_ref();
                state.is_some_and(|it| {
                    it.version.as_deref() == Some(version) && it.refused.is_none()
                })
            })
            .await?;
        self.nobody_was_disturbed(&status);
        Ok(status)
    }

    /// Waits until what is on disk is refused with an error that has `words` in it.
    async fn wait_refused(&self, words: &str) -> anyhow::Result<()> {
        let status = self
            .stage
            .gateway
            .wait_for(&format!("a refusal with `{words}`"), |status| {
                let refused = status.config_state.as_ref().and_then(|it| it.refused.as_ref());
                refused.is_some_and(|it| {
                    it.reason == RefusedReason::Invalid
                        && it.errors.iter().any(|error| error.contains(words))
                })
            })
            .await?;
        self.nobody_was_disturbed(&status);
        Ok(())
    }

    fn nobody_was_disturbed(&self, status: &Status) {
        assert_eq!(status.modules.len(), 2, "{}", self.stage.gateway.log_end());
        for module in &status.modules {
            let found = (module.hub.state, module.reconnects);
            assert_eq!(found, (HubState::Connected, 0), "{}", self.stage.gateway.log_end());
        }
    }
}

/// Writes beside and renames.
fn rename_into(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, file)
}

/// Lets more time pass than the daemon takes for quiet.
async fn pass_quiet_time() -> anyhow::Result<()> {
    let began = Instant::now();
    until("the time of quiet to pass", LONG, async || {
        let passed = began.elapsed() > Duration::from_millis(900);
        Ok(if passed { Look::Found(()) } else { Look::NotYet("not passed".to_owned()) })
    })
    .await
}

#[tokio::test]
async fn a_file_written_in_two_halves_counts_once_it_is_closed() -> Story {
    let mut scene = Scene::begin().await?;
    let text = scene.text("halves");
    // The first half is a config by itself, which has one module less.
    let half = text.rfind("\n[[module]]").unwrap_or_default();
    let mut file = fs::File::create(scene.file())?;
    file.write_all(&text.as_bytes()[..half])?;
    pass_quiet_time().await?;
    file.write_all(&text.as_bytes()[half..])?;
    drop(file);
    scene.wait_version("halves").await?;
    assert_eq!(scene.stage.count("m02", "connects").await?, 1);
    Ok(())
}

#[tokio::test]
async fn files_that_are_renamed_linked_or_edited_in_place_are_noticed() -> Story {
    let scene = Scene::begin().await?;
    let (folder, file) = (scene.folder(), scene.file());
    rename_into(&file, &scene.text("renamed"))?;
    scene.wait_version("renamed").await?;

    // As vim does: the old one becomes the backup.
    fs::rename(&file, folder.join("modtwind.toml~"))?;
    fs::write(&file, scene.text("edited"))?;
    scene.wait_version("edited").await?;

    // As sed -i and ansible do across file systems: removed, then made anew.
    fs::remove_file(&file)?;
    fs::write(&file, scene.text("made anew"))?;
    scene.wait_version("made anew").await?;

    // As the kubelet mounts a ConfigMap.
    for version in ["v1", "v2"] {
        fs::create_dir(folder.join(format!("..{version}")))?;
        fs::write(folder.join(format!("..{version}/modtwind.toml")), scene.text(version))?;
    }
    symlink("..v1", folder.join("..data"))?;
    symlink("..data/modtwind.toml", folder.join("link"))?;
    fs::rename(folder.join("link"), &file)?;
    scene.wait_version("v1").await?;
    symlink("..v2", folder.join("..data_tmp"))?;
    fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
    let status = scene.wait_version("v2").await?;
    assert!(status.config_state.is_some_and(|it| it.files.len() == 1));
    Ok(())
}

#[tokio::test]
async fn a_folder_that_is_replaced_or_made_anew_is_noticed() -> Story {
    let scene = Scene::begin().await?;
    let (folder, file) = (scene.folder(), scene.file());
    let etc = folder.with_file_name("next");
    for round in ["first", "second"] {
        fs::create_dir(&etc)?;
        fs::write(etc.join("modtwind.toml"), scene.text(round))?;
        fs::rename(&folder, folder.with_file_name(round))?;
        fs::rename(&etc, &folder)?;
        scene.wait_version(round).await?;
    }
    fs::remove_dir_all(&folder)?;
    scene.wait_refused("cannot read the file").await?;
    fs::create_dir(&folder)?;
    fs::write(&file, scene.text("made anew"))?;
    scene.wait_version("made anew").await?;
    fs::write(&file, scene.text("and changed"))?;
    scene.wait_version("and changed").await?;

    // A generation of the whole system, with the switch far above.
    let systems = folder.with_file_name("systems");
    for generation in ["1", "2"] {
        let deep = systems.join(generation).join("share/config");
        fs::create_dir_all(&deep)?;
        fs::write(deep.join("modtwind.toml"), scene.text(generation))?;
    }
    symlink(systems.join("1"), systems.join("current"))?;
    fs::remove_file(&file)?;
    symlink(systems.join("current/share/config/modtwind.toml"), &file)?;
    scene.wait_version("1").await?;
    symlink(systems.join("2"), systems.join("next"))?;
    fs::rename(systems.join("next"), systems.join("current"))?;
    scene.wait_version("2").await?;
    Ok(())
}

#[tokio::test]
async fn drop_ins_count_from_when_their_folder_appears() -> Story {
    let scene = Scene::begin().await?;
    let drop_ins = scene.folder().join("conf.d");
    fs::create_dir(&drop_ins)?;
    fs::write(drop_ins.join("10.toml"), "[fleet]\nversion = \"dropped in\"\n")?;
    let status = scene.wait_version("dropped in").await?;
    assert!(status.config_state.is_some_and(|it| it.files.len() == 2));
    fs::write(drop_ins.join("20.toml"), "[fleet]\nversion = \"the later\"\n")?;
    scene.wait_version("the later").await?;
    fs::remove_file(drop_ins.join("20.toml"))?;
    scene.wait_version("dropped in").await?;
    // One that can't be read refuses all, and is mended by going away.
    symlink("nowhere", drop_ins.join("30.toml"))?;
    scene.wait_refused("30.toml: cannot read the file").await?;
    fs::rename(drop_ins.join("30.toml"), drop_ins.join("30.off"))?;
    scene.wait_version("dropped in").await?;
    fs::create_dir(drop_ins.join("40.toml"))?;
    scene.wait_refused("40.toml: expected a file").await?;
    fs::remove_dir_all(&drop_ins)?;
    rename_into(&scene.file(), &scene.text("alone"))?;
    scene.wait_version("alone").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_left_behind_half_or_empty_is_refused_until_it_is_whole() -> Story {
    let scene = Scene::begin().await?;
    let file = scene.file();
    let text = scene.text("whole");
    // What a full disk leaves, and a tool that was killed.
    fs::write(&file, &text.as_bytes()[..text.len() - 20])?;
    scene.wait_refused("modtwind.toml").await?;
    rename_into(&file, &text)?;
    scene.wait_version("whole").await?;
    fs::File::create(&file)?;
    scene.wait_refused("hub.hostname: missing").await?;
    fs::write(&file, scene.text("whole again"))?;
    scene.wait_version("whole again").await?;
    fs::write(&file, [text.as_bytes(), b"# \xff\xfe"].concat())?;
    scene.wait_refused("expected UTF-8").await?;
    fs::write(&file, scene.text("the end"))?;
    scene.wait_version("the end").await?;
    Ok(())
}

#[tokio::test]
async fn files_that_are_not_the_config_s_are_of_no_concern() -> Story {
    let scene = Scene::begin().await?;
    let (folder, file) = (scene.folder(), scene.file());
    fs::create_dir(folder.join("conf.d"))?;
    fs::write(&file, "[hub\n")?;
    scene.wait_refused("modtwind.toml:1:").await?;
    let refusals = || scene.stage.gateway.log_text().matches("config refused").count();
    let before = refusals();
    for name in [
        "modtwind.toml~",
        ".modtwind.toml.swp",
        "4913",
        "#modtwind.toml#",
        "modtwind.toml.dpkg-old",
        "conf.d/10.toml~",
        "conf.d/.10.toml",
        "conf.d/README",
    ] {
        fs::write(folder.join(name), "no [toml")?;
    }
    pass_quiet_time().await?;
    assert_eq!(refusals(), before, "a refusal that was told is told again");
    fs::write(&file, scene.text("mended"))?;
    scene.wait_version("mended").await?;
    Ok(())
}
