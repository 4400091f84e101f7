//! A process that was told to go on with the registry dies, and the former one goes on after all.

use super::*;

fn undo() -> Action {
    Action::done("upgrade-undone", "", BY_UPGRADE, "it has ended")
}

/// All that is recorded of revisions and rollouts.
fn all(registry: &Registry) -> (Vec<RevisionRecord>, Vec<RolloutRecord>) {
    (registry.history("cart").unwrap(), registry.rollouts().unwrap())
}

#[test]
fn what_another_process_has_recorded_since_the_mark_is_undone() {
    let shop = Shop::new(1);
    shop.deploy(b"two", b"base");
    let number = begin(&shop, b"three");
    let before = all(&shop.registry);
    shop.registry.mark().unwrap();
    assert!(!shop.registry.return_to_mark(&undo()).unwrap(), "nothing has happened");
    assert_eq!(shop.registry.actions(1).unwrap()[0].action, "deploy");

    let other = Registry::open(shop.dir.path(), 1).unwrap();
    other.end_rollout("cart", number, Outcome::TakenBack, &[]).unwrap();
    with_revision(b"four", b"rebuilt", "blue", "blue", |revision| other.put_in_force(revision, &[]).unwrap());
    other.migrated("cart", &Digest::of(b"four")).unwrap();
    drop(other);
    assert_ne!(all(&shop.registry), before);
    assert!(shop.registry.return_to_mark(&undo()).unwrap());
    assert_eq!(all(&shop.registry), before);
    assert_eq!(shop.registry.actions(1).unwrap()[0].action, "upgrade-undone");
    assert!(shop.registry.is_migrated("cart", &Digest::of(b"four")).unwrap(), "the stores have been migrated");

    let shop = shop.after_death();
    assert_eq!(all(&shop.registry), before);
    assert_eq!(shop.in_force(b"base"), deployed(2, b"two"));
}

#[test]
fn a_later_mark_takes_the_place_of_an_earlier_one() {
    let shop = Shop::new(10);
    shop.registry.mark().unwrap();
    shop.deploy(b"two", b"base");
    shop.registry.mark().unwrap();
    let other = Registry::open(shop.dir.path(), 10).unwrap();
    with_revision(b"three", b"base", "red", "red", |revision| other.put_in_force(revision, &[]).unwrap());
    assert!(shop.registry.return_to_mark(&undo()).unwrap());
    assert_eq!(shop.numbers(), [(2, true), (1, false)]);
}
