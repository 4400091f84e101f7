//! Which revision a return goes to.

use super::*;

fn history(revisions: &[(u32, bool, bool)]) -> Vec<RevisionRecord> {
    let record = |(number, is_live, is_rolled_back): &(u32, bool, bool)| RevisionRecord {
        number: *number,
        digest: Digest::of(&number.to_le_bytes()),
        source: String::new(),
        created_at_ms: 0,
        who: String::new(),
        why: String::new(),
        settings: "{}".to_owned(),
        configuration: String::new(),
        is_rolled_back: *is_rolled_back,
        is_live: *is_live,
    };
    revisions.iter().map(record).collect()
}

#[test]
fn a_return_goes_to_the_latest_before_that_was_not_taken_back() {
    let to = |history: &[RevisionRecord], to| earlier(history, "cart", to).map(|record| record.number).ok();
    let plain = history(&[(3, true, false), (2, false, false), (1, false, false)]);
    assert_eq!(to(&plain, None), Some(2));
    let after_a_bad_one = history(&[(4, true, false), (3, false, true), (2, false, false)]);
    assert_eq!(to(&after_a_bad_one, None), Some(2));
    assert_eq!(to(&after_a_bad_one, Some(3)), Some(3), "who names it gets it");
    assert_eq!(to(&after_a_bad_one, Some(9)), None);
    let returned = history(&[(3, false, true), (2, true, false), (1, false, false)]);
    assert_eq!(to(&returned, None), Some(1));
    assert_eq!(to(&history(&[(1, true, false)]), None), None);
    assert_eq!(to(&[], None), None, "nothing was ever deployed");
}
