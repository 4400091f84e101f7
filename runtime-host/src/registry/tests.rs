//! What is in force after which deployments, returns, changes of the manifest and deaths.

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
        let (digest, base) = (Digest::of(wasm), Digest::of(base));
        self.registry.artifacts().keep(&digest, wasm, true).unwrap();
        let revision = NewRevision {
            component: "cart",
            digest: &digest,
            source: "new.wasm",
            who: "ann",
            why: "faster",
            settings: "{}",
            base: Base { digest: &base, source: "cart.wasm" },
        };
        self.registry.put_in_force(&revision).unwrap()
    }

    fn in_force(&self, base: &[u8]) -> InForce {
        let digest = Digest::of(base);
        let in_force = self.registry.in_force("cart", &digest).unwrap();
        if let InForce::ManifestChanged { .. } = in_force {
            self.registry.manifest_changed("cart", Base { digest: &digest, source: "cart.wasm" }).unwrap();
        }
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
    InForce::Deployed { number, digest: Digest::of(wasm) }
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
    assert_eq!(shop.in_force(b"rebuilt"), InForce::ManifestChanged { instead_of: 2 });
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
    shop.registry.return_to("cart", 2, Some(3)).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.in_force(b"base"), deployed(2, b"good"));
    let rolled_back: Vec<bool> =
        shop.registry.history("cart").unwrap().iter().map(|record| record.is_rolled_back).collect();
    assert_eq!(rolled_back, [true, false, false]);
    shop.registry.return_to("cart", 1, None).unwrap();
    assert_eq!(shop.in_force(b"base"), InForce::Manifest);
    shop.registry.return_to("cart", 3, None).unwrap();
    assert!(!shop.registry.history("cart").unwrap()[0].is_rolled_back, "somebody wants it after all");
}

#[test]
fn old_revisions_go_with_their_artifacts_and_the_one_in_force_stays() {
    let shop = Shop::new(2);
    shop.registry.artifacts().keep(&Digest::of(b"base"), b"base", false).unwrap();
    shop.deploy(b"2", b"base");
    shop.registry.return_to("cart", 1, None).unwrap();
    shop.deploy(b"3", b"base");
    shop.registry.return_to("cart", 1, None).unwrap();
    for wasm in [b"4", b"5", b"6"] {
        shop.deploy(wasm, b"base");
        shop.registry.return_to("cart", 1, None).unwrap();
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
            let base = Base { digest: &Digest::of(b"base"), source: "cart.wasm" };
            let (source, who, why, settings) = ("new.wasm", "ann", "", "{}");
            let revision = NewRevision { component: "cart", digest: &digest, source, who, why, settings, base };
            registry.put_in_force(&revision)
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
    let action = |n: u32| Action {
        at_ms: n.into(),
        who: "ann".to_owned(),
        action: "deploy".to_owned(),
        component: "cart".to_owned(),
        why: String::new(),
        outcome: "ok".to_owned(),
    };
    for n in 0..5 {
        shop.registry.log(&action(n)).unwrap();
    }
    assert_eq!(shop.registry.actions(2).unwrap(), [action(4), action(3)]);
    shop.registry.write(|transaction| records::log(transaction, &action(5), 3)).unwrap();
    assert_eq!(shop.registry.actions(10).unwrap(), [action(5), action(4), action(3)]);
}

fn begin(shop: &Shop, wasm: &[u8]) -> u32 {
    let (digest, base) = (Digest::of(wasm), Digest::of(b"base"));
    shop.registry.artifacts().keep(&digest, wasm, true).unwrap();
    let revision = NewRevision {
        component: "cart",
        digest: &digest,
        source: "new.wasm",
        who: "ann",
        why: "",
        settings: "{}",
        base: Base { digest: &base, source: "cart.wasm" },
    };
    shop.registry.begin_rollout(&revision, "10 %").unwrap()
}

#[test]
fn a_rollout_is_recorded_until_it_ends_and_the_old_revision_is_in_force_meanwhile() {
    let shop = Shop::new(10);
    let number = begin(&shop, b"new");
    shop.registry.save_rollout("cart", number, "25 %").unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.in_force(b"base"), InForce::Manifest);
    let record =
        RolloutRecord { component: "cart".to_owned(), number: 2, digest: Digest::of(b"new"), state: "25 %".to_owned() };
    assert_eq!(shop.registry.rollouts().unwrap(), [record]);
    assert_eq!(shop.numbers(), [(2, false), (1, true)]);
    shop.registry.end_rollout("cart", number, Outcome::Promoted).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.registry.rollouts().unwrap(), []);
    assert_eq!(shop.in_force(b"base"), deployed(2, b"new"));

    let bad = begin(&shop, b"bad");
    shop.registry.end_rollout("cart", bad, Outcome::TakenBack).unwrap();
    assert_eq!(shop.in_force(b"base"), deployed(2, b"new"));
    assert!(shop.registry.history("cart").unwrap()[0].is_rolled_back);
}

#[test]
fn a_return_ends_a_rollout_whose_end_was_not_written_down() {
    let shop = Shop::new(10);
    shop.deploy(b"good", b"base");
    begin(&shop, b"bad");
    shop.registry.return_to("cart", 1, Some(2)).unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.registry.rollouts().unwrap(), []);
    assert_eq!(shop.in_force(b"base"), InForce::Manifest);
}

#[test]
fn an_end_that_is_written_down_late_undoes_nothing_that_came_since() {
    let shop = Shop::new(10);
    let late = begin(&shop, b"bad");
    let next = begin(&shop, b"next");
    shop.registry.end_rollout("cart", late, Outcome::TakenBack).unwrap();
    let going_on: Vec<u32> = shop.registry.rollouts().unwrap().iter().map(|record| record.number).collect();
    assert_eq!(going_on, [next]);
    let is_rolled_back = |number: u32| {
        let history = shop.registry.history("cart").unwrap();
        history.iter().find(|record| record.number == number).unwrap().is_rolled_back
    };
    assert!(is_rolled_back(late) && !is_rolled_back(next));

    shop.registry.return_to("cart", late, None).unwrap();
    shop.registry.end_rollout("cart", late, Outcome::TakenBack).unwrap();
    assert!(!is_rolled_back(late), "somebody wants it after all");
}

#[test]
fn another_file_of_the_manifest_ends_a_rollout() {
    let shop = Shop::new(0);
    begin(&shop, b"new");
    assert_eq!(shop.numbers(), [(2, false), (1, true)], "what is rolled out is kept");
    assert_eq!(shop.in_force(b"rebuilt"), InForce::ManifestChanged { instead_of: 1 });
    assert_eq!(shop.registry.rollouts().unwrap(), []);
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

#[test]
fn a_registry_of_the_first_version_is_read_and_gets_what_it_lacks() {
    let shop = Shop::new(10);
    shop.deploy(b"new", b"base");
    let path = shop.dir.path().join(FILE);
    Connection::open(path).unwrap().execute_batch("DROP TABLE migration; PRAGMA user_version = 1;").unwrap();
    let shop = shop.after_death();
    assert_eq!(shop.in_force(b"base"), deployed(2, b"new"));
    shop.registry.migrated("cart", &Digest::of(b"new")).unwrap();
}

#[test]
fn changes_are_counted_and_what_is_only_logged_is_none() {
    let shop = Shop::new(10);
    assert_eq!(shop.registry.changes(), 0);
    shop.deploy(b"new", b"base");
    let changes = shop.registry.changes();
    assert!(changes > 0);
    let action = Action {
        at_ms: 1,
        who: "ann".to_owned(),
        action: "pause".to_owned(),
        component: "cart".to_owned(),
        why: String::new(),
        outcome: "ok".to_owned(),
    };
    shop.registry.log(&action).unwrap();
    assert_eq!(shop.registry.changes(), changes);
    shop.registry.return_to("cart", 1, Some(2)).unwrap();
    assert!(shop.registry.changes() > changes);
}
