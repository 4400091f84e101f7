//! The host is killed in the middle of rollouts, at random and right after each transition is on disk: it starts with exactly
//! what is recorded, and shoppers are answered by nothing else.

mod scene;

use std::time::Duration;

use scene::{BAD, Recorded, Scene, Shoppers, Subject, Version};
use tests::app::App;
use tests::control::{replaced, variant, variant_app};
use tests::host::PATIENCE;
use tests::programs;
use tokio::time::{Instant, sleep};

/// Kills at random instants.
const KILLS: usize = 16;
/// How long the host runs between two kills, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 0..500;
/// Answers of the old revision before a switch: enough to compare with.
const PAST_REQUESTS: usize = 200;
/// Sets when the host is killed, as an earlier run has printed it; what it is doing then also depends on the machine.
const SEED_VARIABLE: &str = "BODEGA_TEST_SEED";
/// A canary of short steps, which still wait for more requests than a kill is followed by.
const CANARY: &str = "strategy = \"canary\"\nduration = \"50ms\"\nsamples_min = 30\nanalysis = { settle = \"0s\" }\n";

/// A host with a component whose versions are `one`, the first, `two`, and one that fails at times.
async fn variants(rollout: &str) -> Scene {
    let subject = Subject {
        component: "variant",
        paths: &["/variant/"],
        versions: vec![
            Version::artifact("one", variant("one", &[])),
            Version::artifact("two", variant("two", &[])),
            Version::artifact(BAD, variant(BAD, &["errors=0500"])),
        ],
    };
    Scene::start(variant_app(rollout), subject).await
}

fn assert_met_all_steps(scene: &Scene, more: &[&str]) {
    let steps = ["in step 1", "in step 2", "in step 3", "in step 4"];
    assert!(steps.iter().chain(more).all(|state| scene.met.contains(*state)), "{:?}", scene.met);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_at_random_goes_on_with_what_is_recorded() {
    let seed = std::env::var(SEED_VARIABLE).map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("{SEED_VARIABLE}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = variants(CANARY).await;
    for _ in 0..KILLS {
        let shoppers = Shoppers::of(&scene);
        let is_going_on = scene.registry.read().is_some_and(|recorded| recorded.rollout.is_some());
        let other = if scene.in_force() == "one" { "two" } else { "one" };
        let name = if random.u8(..4) == 0 { BAD } else { other };
        let deployment = (!is_going_on).then(|| scene.deploy(name));
        sleep(Duration::from_millis(random.u64(LIFE_MS))).await;
        scene.kill_with(shoppers).await;
        if let Some(deployment) = deployment {
            deployment.await.expect("it is told to nobody");
        }
    }
    println!("{KILLS} kills met {:?}", scene.met);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_after_a_transition_has_made_it() {
    let mut scene = variants(CANARY).await;
    scene.kill_at_every_record("two").await;
    scene.kill_at_every_record(BAD).await;
    assert_met_all_steps(&scene, &["two in force"]);
    assert_eq!(scene.in_force(), "two", "the bad one was taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_a_variable_is_rolled_out_has_the_one_that_is_recorded() {
    let variable =
        "[variables]\ncolor = { default = \"red\" }\n[component.variant.variables]\ncolor = \"{{ color }}\"\n";
    let subject = Subject {
        component: "variant",
        paths: &["/variant/given"],
        versions: vec![
            Version::variable("red", "&artifact=in-force&variable=color%3Dred"),
            Version::variable("blue", "&artifact=in-force&variable=color%3Dblue"),
        ],
    };
    let mut scene = Scene::start(variant_app(CANARY).append(variable), subject).await;
    for name in ["blue", "red"] {
        scene.kill_at_every_record(name).await;
        assert_eq!(scene.in_force(), name);
    }
    assert_met_all_steps(&scene, &["red in force", "blue in force"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_a_dependency_is_rolled_out_has_it_in_all_that_import_it() {
    let greeter = std::fs::read(programs::component("greeter")).expect("the guest is readable");
    let other = replaced(greeter.clone(), "Good day, ", "Good bye, ");
    let greeting = programs::component("greeting");
    let dependency = |id| {
        format!("[component.{id}.dependencies]\n\"bodega:test-greeter/greet@1.0.0\" = {{ component = \"greeter\" }}")
    };
    let app = App::new()
        .component("left", "\"/left/...\"", &greeting, &dependency("left"))
        .component("right", "\"/right/...\"", &greeting, &dependency("right"))
        .append(&format!(
            "[component.greeter]\nsource = {:?}\n[component.greeter.tool.bodega.rollout]\n{CANARY}",
            programs::component("greeter")
        ));
    let subject = Subject {
        component: "greeter",
        paths: &["/left/Ann", "/right/Ann"],
        versions: vec![Version::artifact("Good day", greeter), Version::artifact("Good bye", other)],
    };
    let mut scene = Scene::start(app, subject).await;
    for name in ["Good bye", "Good day"] {
        scene.kill_at_every_record(name).await;
        assert_eq!(scene.in_force(), name);
    }
    assert_met_all_steps(&scene, &["Good day in force", "Good bye in force"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_after_a_person_has_steered_obeys() {
    let mut scene = variants("strategy = \"blue-green\"\ngate = \"manual\"\nbake = \"1h\"").await;
    scene.kill_at_the_next_record(Some(scene.deploy("two")), &None).await;
    for path in ["pause", "resume", "promote", "abort"] {
        scene.kill_after(path).await;
    }
    let before = scene.registry.read();
    scene.kill_at_the_next_record(Some(scene.deploy("two")), &before).await;
    scene.kill_after("promote").await;
    scene.kill_after("promote").await;
    let expected = ["waiting for a person", "paused", "baking", "one in force", "two in force"];
    assert_eq!(scene.met, expected.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bake_goes_on_after_a_kill_and_is_held_against_what_the_old_revision_has_answered() {
    let mut scene = variants("strategy = \"blue-green\"\nbake = \"1h\"").await;
    for _ in 0..PAST_REQUESTS {
        assert_eq!(scene.host.text("/variant/").await, "one");
    }
    let before = scene.registry.read();
    // Killed before the new one has answered anybody: nothing is left of the old one but what is recorded.
    let deployment = scene.deploy(BAD);
    scene.registry.change(&before).await;
    scene.host.kill_9().await;
    deployment.await.expect("it is told to nobody");
    scene.host.restart().await;
    assert_eq!(scene.host.status_of("variant").await["rollout"]["state"], "baking");
    let deadline = Instant::now() + PATIENCE;
    while scene.host.status_of("variant").await["rollout"]["promoted"] != false {
        assert!(Instant::now() < deadline, "half of its answers are errors, and it is not taken back");
        scene.host.get("/variant/").await;
    }
    let status = scene.host.status_of("variant").await;
    let reason = status["rollout"]["reason"].as_str().expect("a reason");
    assert!(reason.contains(&format!("of {PAST_REQUESTS} before")), "{reason}");
    assert_eq!(scene.host.text("/variant/").await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_in_a_step_takes_it_back_where_that_is_configured() {
    let mut scene = variants(&format!("{CANARY}on_restart = \"rollback\"")).await;
    scene.deploy("two").await.expect("it is answered");
    let during = scene.registry.read().expect("it is recorded");
    assert_eq!(during.rollout.map(|rollout| rollout.state), Some("in step 1".to_owned()));
    for _ in 0..2 {
        scene.host.kill_9().await;
        scene.host.restart().await;
        assert_eq!(scene.registry.read(), Some(Recorded { live: during.live.clone(), rollout: None }));
        assert_eq!(scene.host.text("/variant/").await, "one");
        assert!(scene.host.status_of("variant").await["rollout"].is_null());
    }
    let history = scene.host.operate(&["history", "variant"]).await;
    assert!(String::from_utf8_lossy(&history.stdout).contains("taken back"), "{history:?}");
}
