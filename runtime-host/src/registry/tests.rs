//! What is in force after which deployments, returns, changes of the manifest and deaths.

mod mark;

use super::*;

/// In which artifacts are removed, if nothing holds that up.
const REMOVAL_TIME: std::time::Duration = std::time::Duration::from_millis(200);

struct Shop {
    dir: tempfile::TempDir,
    registry: Registry,
}

impl Shop {
    fn new(kept: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), kept).unwrap();
        Self { dir, registry }
    }

    /// As another process finds it that starts now; the first one is gone without a word.
    fn after_death(self) -> Self {
        let kept = self.registry.revisions_kept;
        drop(self.registry);
        let registry = Registry::open(self.dir.path(), kept).unwrap();
        Self { dir: self.dir, registry }
    }

    fn deploy(&self, wasm: &[u8], base: &[u8]) -> u32 {
        self.deploy_given(wasm, base, "red", "red")
    }

    /// Deploys an artifact that is given one colour where the sources say another one.
    fn deploy_given(&self, wasm: &[u8], base: &[u8], configuration: &str, of_sources: &str) -> u32 {
        self.registry.artifacts().keep(&Digest::of(wasm), wasm, true).unwrap();
        with_revision(wasm, base, configuration, of_sources, |revision| {
            self.registry.put_in_force(revision, &[action(1)]).unwrap()
        })
    }

    fn in_force(&self, base: &[u8]) -> InForce {
        self.in_force_with(base, "red")
    }

    /// What a start finds where the sources say this colour; it writes down what it decides.
    fn in_force_with(&self, base: &[u8], of_sources: &str) -> InForce {
        let configuration = Digest::of(of_sources.as_bytes());
        let in_force = self.registry.in_force("cart", &Digest::of(base), &configuration).unwrap();
        let wasm = match &in_force {
            InForce::ManifestChanged(_) => Digest::of(base),
            InForce::ConfigurationChanged(recorded) => recorded.digest.clone(),
            _ => return in_force,
        };
        with_revision(b"", base, of_sources, of_sources, |revision| {
            let revision = NewRevision { digest: &wasm, who: BY_MANIFEST, ..revision.clone() };
            self.registry.put_in_force(&revision, &[]).unwrap();
        });
        in_force
    }

    fn numbers(&self) -> Vec<(u32, bool)> {
        self.registry.history("cart").unwrap().iter().map(|record| (record.number, record.is_live)).collect()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("revisions")).unwrap().count()
    }
}

fn deployed(number: u32, wasm: &[u8]) -> InForce {
    InForce::Deployed(recorded(number, wasm, "red"))
}

fn recorded(number: u32, wasm: &[u8], configuration: &str) -> Recorded {
    let source = if number == 1 { "cart.wasm" } else { "new.wasm" };
    Recorded { number, digest: Digest::of(wasm), source: source.to_owned(), configuration: configuration.to_owned() }
}

fn with_revision<T>(
    wasm: &[u8],
    base: &[u8],
    configuration: &str,
    of_sources: &str,
    record: impl FnOnce(&NewRevision<'_>) -> T,
) -> T {
    record(&NewRevision {
        component: "cart",
        digest: &Digest::of(wasm),
        source: "new.wasm",
        who: "ann",
        why: "faster",
        settings: "{}",
        configuration,
        configuration_of_sources: &Digest::of(of_sources.as_bytes()),
        base: Base { digest: &Digest::of(base), source: "cart.wasm", configuration: "red" },
    })
}

fn action(n: i64) -> Action {
    Action { at_ms: n, ..Action::done("deploy", "cart", "ann", "") }
}

#[test]
fn without_a_deployment_nothing_is_written() {
    let shop = Shop::new(10);
    assert_eq!(shop.in_force(b"base"), InForce::Manifest);
    assert_eq!(shop.numbers(), []);
    assert!(!shop.dir.path().join(FILE).exists());
}

#[test]
fn what_was_deployed_is_in_force_after_a_death() {
    let shop = Shop::new(10);
    assert_eq!(shop.deploy(b"new", b"base"), 2, "the manifest's own is the first");
    let shop = shop.after_death();
    assert_eq!(shop.in_force(b"base"), deployed(2, b"new"));
    assert_eq!(shop.numbers(), [(2, true), (1, false)]);
    let history = shop.registry.history("cart").unwrap();
    assert_eq!(
        (history[0].who.as_str(), history[0].why.as_str(), history[1].who.as_str()),
        ("ann", "faster", "manifest")
    );
    assert_eq!(shop.registry.artifacts().read(&history[0].digest).unwrap(), b"new");
}

#[test]
fn another_file_of_the_manifest_wins_once() {
    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    assert_eq!(shop.in_force(b"rebuilt"), InForce::ManifestChanged(recorded(2, b"new", "red")));
    let shop = shop.after_death();
    assert_eq!(shop.in_force(b"rebuilt"), InForce::Manifest);
    assert_eq!(shop.numbers(), [(3, true), (2, false), (1, false)]);
    assert_eq!(shop.registry.history("cart").unwrap()[0].who, BY_MANIFEST);
    assert_eq!(shop.deploy(b"newer", b"rebuilt"), 4);
    assert_eq!(shop.in_force(b"rebuilt"), deployed(4, b"newer"));
}

#[test]
fn a_return_is_in_force_and_marks_what_was_bad() {
    let shop = Shop::new(10);
    shop.deploy(b"good", b"base");
    shop.deploy(b"bad", b"base");
    shop.registry.return_to("cart", 2, Some(3), &action(1)).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.in_force(b"base"), deployed(2, b"good"));
    let rolled_back: Vec<bool> =
        shop.registry.history("cart").unwrap().iter().map(|record| record.is_rolled_back).collect();
    assert_eq!(rolled_back, [true, false, false]);
    shop.registry.return_to("cart", 1, None, &action(1)).unwrap();
    assert_eq!(shop.in_force(b"base"), InForce::Manifest);
    shop.registry.return_to("cart", 3, None, &action(1)).unwrap();
    assert!(!shop.registry.history("cart").unwrap()[0].is_rolled_back, "somebody wants it after all");
}

#[test]
fn old_revisions_go_with_their_artifacts_and_the_one_in_force_stays() {
    let shop = Shop::new(2);
    shop.registry.artifacts().keep(&Digest::of(b"base"), b"base", false).unwrap();
    shop.deploy(b"2", b"base");
    shop.registry.return_to("cart", 1, None, &action(1)).unwrap();
    shop.deploy(b"3", b"base");
    shop.registry.return_to("cart", 1, None, &action(1)).unwrap();
    for wasm in [b"4", b"5", b"6"] {
        shop.deploy(wasm, b"base");
        shop.registry.return_to("cart", 1, None, &action(1)).unwrap();
    }
    assert_eq!(shop.numbers(), [(6, false), (5, false), (4, false), (1, true)], "one was in force when 6 came");
    let in_use = BTreeMap::from([("cart".to_owned(), Digest::of(b"base"))]);
    shop.registry.remove_unreferenced(&in_use).unwrap();
    assert_eq!(shop.files(), 4);
    assert!(shop.registry.artifacts().read(&Digest::of(b"2")).is_err());
    assert_eq!(shop.registry.artifacts().read(&Digest::of(b"6")).unwrap(), b"6");
}

#[test]
fn an_artifact_is_not_removed_before_it_is_recorded() {
    let shop = Shop::new(10);
    shop.deploy(b"old", b"base");
    let digest = Digest::of(b"new");
    let begins = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        // Another component's rollout ends meanwhile.
        let removal = scope.spawn(|| {
            begins.wait();
            shop.registry.remove_unreferenced(&BTreeMap::new())
        });
        let record = |registry: &Registry| {
            begins.wait();
            std::thread::sleep(REMOVAL_TIME);
            with_revision(b"new", b"base", "red", "red", |revision| registry.put_in_force(revision, &[]))
        };
        assert_eq!(shop.registry.keep_and_record(&digest, b"new", record).unwrap(), 3);
        removal.join().unwrap().unwrap();
    });
    assert_eq!(shop.registry.artifacts().read(&digest).unwrap(), b"new");
}

#[test]
fn a_damaged_artifact_is_found() {
    let shop = Shop::new(10);
    let digest = Digest::of(b"wasm");
    shop.registry.artifacts().keep(&digest, b"wasm", true).unwrap();
    std::fs::write(shop.registry.artifacts().path(&digest), b"wsam").unwrap();
    let error = shop.registry.artifacts().read(&digest).unwrap_err();
    assert!(matches!(error, RegistryError::Damaged { .. }), "{error}");
    shop.registry.artifacts().keep(&digest, b"wasm", true).unwrap();
    assert_eq!(shop.registry.artifacts().read(&digest).unwrap(), b"wasm", "who brings it again mends it");
    for text in ["", "../../etc/passwd", &"A".repeat(64), &"0".repeat(63)] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

#[test]
fn actions_are_logged_in_order_and_bounded() {
    let shop = Shop::new(10);
    for n in 0..5 {
        shop.registry.log(&action(n)).unwrap();
    }
    assert_eq!(shop.registry.actions(2).unwrap(), [action(4), action(3)]);
    shop.registry.write(|transaction| records::log(transaction, &action(5), 3)).unwrap();
    assert_eq!(shop.registry.actions(10).unwrap(), [action(5), action(4), action(3)]);
}

#[test]
fn a_refusal_that_comes_again_and_again_is_one_row() {
    let shop = Shop::new(10);
    let refusal = |n: i64, outcome: &str| Action { outcome: outcome.to_owned(), ..action(n) };
    shop.registry.log(&action(1)).unwrap();
    for n in 2..100 {
        shop.registry.log(&refusal(n, "a rollout goes on")).unwrap();
    }
    let goes_on = refusal(99, "a rollout goes on");
    assert_eq!(shop.registry.actions(10).unwrap(), [goes_on.clone(), action(1)]);
    let refusals = [refusal(100, "no room"), Action { who: "bob".to_owned(), ..refusal(101, "no room") }];
    refusals.iter().for_each(|refusal| shop.registry.log(refusal).unwrap());
    shop.registry.log(&action(102)).unwrap();
    shop.registry.log(&action(103)).unwrap();
    let [no_room, bobs] = refusals;
    let expected = [action(103), action(102), bobs, no_room, goes_on, action(1)];
    assert_eq!(shop.registry.actions(10).unwrap(), expected, "what is done is done each time");
}

fn begin(shop: &Shop, wasm: &[u8]) -> u32 {
    begin_given(shop, wasm, "red")
}

/// Begins to roll out an artifact that is given this colour, as the sources say.
fn begin_given(shop: &Shop, wasm: &[u8], configuration: &str) -> u32 {
    shop.registry.artifacts().keep(&Digest::of(wasm), wasm, true).unwrap();
    with_revision(wasm, b"base", configuration, configuration, |revision| {
        shop.registry.begin_rollout(revision, "10 %", &[action(1)]).unwrap()
    })
}

#[test]
fn a_rollout_is_recorded_until_it_ends_and_the_old_revision_is_in_force_meanwhile() {
    let shop = Shop::new(10);
    let number = begin(&shop, b"new");
    shop.registry.save_rollout("cart", number, "25 %", &[action(2)]).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.in_force(b"base"), InForce::Manifest);
    let record = RolloutRecord {
        component: "cart".to_owned(),
        number: 2,
        digest: Digest::of(b"new"),
        configuration: "red".to_owned(),
        state: "25 %".to_owned(),
    };
    assert_eq!(shop.registry.rollouts().unwrap(), [record]);
    assert_eq!(shop.numbers(), [(2, false), (1, true)]);
    shop.registry.end_rollout("cart", number, Outcome::Promoted, &[action(3)]).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.registry.rollouts().unwrap(), []);
    assert_eq!(shop.in_force(b"base"), deployed(2, b"new"));

    let bad = begin(&shop, b"bad");
    shop.registry.end_rollout("cart", bad, Outcome::TakenBack, &[action(3)]).unwrap();
    assert_eq!(shop.in_force(b"base"), deployed(2, b"new"));
    assert!(shop.registry.history("cart").unwrap()[0].is_rolled_back);
}

#[test]
fn a_return_ends_a_rollout_whose_end_was_not_written_down() {
    let shop = Shop::new(10);
    shop.deploy(b"good", b"base");
    begin(&shop, b"bad");
    shop.registry.return_to("cart", 1, Some(2), &action(1)).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.registry.rollouts().unwrap(), []);
    assert_eq!(shop.in_force(b"base"), InForce::Manifest);
}

#[test]
fn an_end_that_is_written_down_late_undoes_nothing_that_came_since() {
    let shop = Shop::new(10);
    let late = begin(&shop, b"bad");
    let next = begin(&shop, b"next");
    shop.registry.end_rollout("cart", late, Outcome::TakenBack, &[action(3)]).unwrap();
    let going_on: Vec<u32> = shop.registry.rollouts().unwrap().iter().map(|record| record.number).collect();
    assert_eq!(going_on, [next]);
    let is_rolled_back = |number: u32| {
        let history = shop.registry.history("cart").unwrap();
        history.iter().find(|record| record.number == number).unwrap().is_rolled_back
    };
    assert!(is_rolled_back(late) && !is_rolled_back(next));

    shop.registry.return_to("cart", late, None, &action(1)).unwrap();
    shop.registry.end_rollout("cart", late, Outcome::TakenBack, &[action(3)]).unwrap();
    assert!(!is_rolled_back(late), "somebody wants it after all");
}

#[test]
fn another_file_of_the_manifest_ends_a_rollout() {
    let shop = Shop::new(0);
    begin(&shop, b"new");
    assert_eq!(shop.numbers(), [(2, false), (1, true)], "what is rolled out is kept");
    assert_eq!(shop.in_force(b"rebuilt"), InForce::ManifestChanged(recorded(1, b"base", "red")));
    assert_eq!(shop.registry.rollouts().unwrap(), []);
}

#[test]
fn what_was_only_tried_out_is_nothing_to_return_to() {
    let shop = Shop::new(10);
    begin(&shop, b"tried");
    shop.in_force(b"rebuilt");
    let history = shop.registry.history("cart").unwrap();
    let rolled_back: Vec<u32> =
        history.iter().filter(|record| record.is_rolled_back).map(|record| record.number).collect();
    assert_eq!((shop.numbers(), rolled_back), (vec![(3, true), (2, false), (1, false)], vec![2]));
}

#[test]
fn a_migration_is_remembered_for_its_component_and_artifact() {
    let shop = Shop::new(10);
    let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
    assert!(!shop.registry.is_migrated("cart", &one).unwrap());
    shop.registry.migrated("cart", &one).unwrap();
    shop.registry.migrated("cart", &one).unwrap();
    let shop = shop.after_death();
    let is_migrated = |component, digest| shop.registry.is_migrated(component, digest).unwrap();
    assert!(is_migrated("cart", &one) && !is_migrated("cart", &two) && !is_migrated("orders", &one));
    assert_eq!(shop.in_force(b"one"), InForce::Manifest, "nothing was deployed");
}

/// The registry as the first version of the host would have left it.
fn of_the_first_version(shop: Shop) -> Shop {
    let path = shop.dir.path().join(FILE);
    let first = "DROP TABLE migration; ALTER TABLE revision DROP COLUMN configuration;
                 ALTER TABLE live DROP COLUMN sources_digest; PRAGMA user_version = 1;";
    Connection::open(path).unwrap().execute_batch(first).unwrap();
    shop.after_death()
}

#[test]
fn what_an_earlier_version_left_out_is_noted_before_anything_else_is_given() {
    let given = |shop: &Shop| {
        let history = shop.registry.history("cart").unwrap();
        history.into_iter().rev().map(|record| record.configuration).collect::<Vec<_>>()
    };
    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    let shop = of_the_first_version(shop);
    assert_eq!(given(&shop), ["", ""]);
    shop.deploy_given(b"new", b"base", "blue", "blue");
    assert_eq!(given(&shop), ["red", "red", "blue"]);
    shop.registry.return_to("cart", 2, Some(3), &action(1)).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.in_force_with(b"base", "blue"), deployed(2, b"new"), "as before, whatever the sources say by now");

    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    let shop = of_the_first_version(shop);
    let number = begin_given(&shop, b"newer", "blue");
    shop.registry.end_rollout("cart", number, Outcome::TakenBack, &[]).unwrap();
    assert_eq!(given(&shop), ["red", "red", "blue"]);
    assert_eq!(shop.in_force_with(b"base", "blue"), deployed(2, b"new"));
}

#[test]
fn a_registry_of_the_first_version_is_read_and_gets_what_it_lacks() {
    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    let shop = of_the_first_version(shop);
    let deployed = InForce::Deployed(recorded(2, b"new", ""));
    assert_eq!(shop.in_force_with(b"base", "red"), deployed);
    assert_eq!(shop.in_force_with(b"base", "blue"), deployed, "what it was given is not known, so nothing has changed");
    shop.registry.migrated("cart", &Digest::of(b"new")).unwrap();
}

#[test]
fn changes_are_counted_and_what_is_only_logged_is_none() {
    let shop = Shop::new(10);
    assert_eq!(shop.registry.changes(), 0);
    shop.deploy(b"new", b"base");
    let changes = shop.registry.changes();
    assert!(changes > 0);
    shop.registry.log(&action(1)).unwrap();
    assert_eq!(shop.registry.changes(), changes);
    shop.registry.return_to("cart", 1, Some(2), &action(1)).unwrap();
    assert!(shop.registry.changes() > changes);
}

#[test]
fn what_a_revision_was_given_stays_in_force_until_the_sources_say_something_else() {
    let shop = Shop::new(10);
    assert_eq!(shop.deploy_given(b"base", b"base", "blue", "red"), 2, "the same artifact with another colour");
    let shop = shop.after_death();
    let blue = InForce::Deployed(recorded(2, b"base", "blue"));
    assert_eq!(shop.in_force_with(b"base", "red"), blue, "the sources have said so all the time");
    let changed = InForce::ConfigurationChanged(recorded(2, b"base", "blue"));
    assert_eq!(shop.in_force_with(b"base", "green"), changed);
    assert_eq!(shop.numbers(), [(3, true), (2, false), (1, false)]);
    assert_eq!(shop.in_force_with(b"base", "green"), InForce::Manifest, "once");
    shop.registry.return_to("cart", 2, None, &action(1)).unwrap();
    assert_eq!(shop.in_force_with(b"base", "green"), blue);
}

#[test]
fn a_changed_source_keeps_the_deployed_artifact() {
    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    let changed = InForce::ConfigurationChanged(recorded(2, b"new", "red"));
    assert_eq!(shop.in_force_with(b"base", "blue"), changed);
    assert_eq!(shop.in_force_with(b"base", "blue"), InForce::Deployed(recorded(3, b"new", "blue")));
}

#[test]
fn what_is_rolled_out_is_no_reason_to_change_what_is_in_force() {
    let shop = Shop::new(10);
    let number = begin_given(&shop, b"new", "blue");
    let shop = shop.after_death();
    let red = InForce::Deployed(recorded(1, b"base", "red"));
    assert_eq!(shop.in_force_with(b"base", "blue"), red, "the rollout has the other colour");
    shop.registry.end_rollout("cart", number, Outcome::TakenBack, &[]).unwrap();
    assert_eq!(shop.in_force_with(b"base", "blue"), red, "and it was taken back");
}

#[test]
fn what_is_done_is_logged_with_it_or_not_at_all() {
    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    assert_eq!(shop.registry.actions(10).unwrap(), [action(1)]);
    // It names a revision that is not there, so nothing of it is written.
    assert!(shop.registry.save_rollout("cart", 9, "10 %", &[action(2)]).is_err());
    assert_eq!(shop.registry.actions(10).unwrap(), [action(1)]);
}

#[test]
fn what_a_start_has_decided_is_written_down_together_or_not_at_all() {
    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    let number = begin(&shop, b"tried");
    let actions = shop.registry.actions(10).unwrap();
    let decide = |rollout_of: u32| {
        with_revision(b"rebuilt", b"rebuilt", "red", "red", |revision| {
            shop.registry.at_once(|batch| {
                batch.put_in_force(revision, &[action(2)])?;
                // There is no revision of another number.
                batch.save_rollout("orders", rollout_of, "10 %", &[])?;
                batch.end_rollout("cart", number, Outcome::TakenBack, &[action(3)])
            })
        })
    };
    assert!(decide(9).is_err());
    assert_eq!(shop.numbers(), [(3, false), (2, true), (1, false)]);
    assert_eq!((shop.registry.rollouts().unwrap().len(), shop.registry.actions(10).unwrap()), (1, actions));
}
