//! Refresh tokens: one is good at a time, and a spent one that comes back ends the session.

use axum::http::{Method, StatusCode};
use commerce::Id;
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::json;

use super::desk::{Ask, Desk, PASSWORD, tokens};
use crate::store::sessions::{self, REFRESH_LIFETIME_MS, REFRESHES_MAX, SESSIONS_MAX};

const REFUSED: &str = "the refresh token is unknown, spent or expired; log in again";

#[test]
fn each_refresh_replaces_the_token() {
    let desk = Desk::open();
    let first = desk.member("ann@example.com");
    let second = tokens(&desk.refresh(&first.refresh).is(200));
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(second.account_id, first.account_id);
    let third = tokens(&desk.refresh(&second.refresh).is(200));
    desk.with(&third.access, Method::GET, "/api/auth/me").send().is(200);
}

#[test]
fn a_spent_token_ends_the_session_and_tells_the_owner() {
    let desk = Desk::open();
    let stolen = desk.member("ann@example.com");
    let elsewhere = desk.login("ann@example.com", super::desk::PASSWORD);
    let thief = tokens(&desk.refresh(&stolen.refresh).is(200));
    desk.refresh(&stolen.refresh).is_problem(401, "invalid-refresh-token", REFUSED, json!({}));
    desk.refresh(&thief.refresh).is(401);
    assert_eq!(desk.event_types().last().unwrap(), "session_revoked");
    desk.refresh(&elsewhere.refresh).is(200);
}

#[test]
fn logging_out_ends_the_session_by_any_of_its_tokens() {
    let desk = Desk::open();
    let first = desk.member("ann@example.com");
    let second = tokens(&desk.refresh(&first.refresh).is(200));
    let logout = |token: &str| desk.post("/api/auth/logout", json!({"refresh_token": token})).is(204);
    logout(&first.refresh);
    desk.refresh(&second.refresh).is(401);
    logout(&second.refresh);
    logout("never given");
}

#[test]
fn a_refresh_token_is_good_for_thirty_days() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    desk.wait_ms(REFRESH_LIFETIME_MS - 60_000);
    let next = tokens(&desk.refresh(&ann.refresh).is(200));
    desk.wait_ms(REFRESH_LIFETIME_MS);
    desk.refresh(&next.refresh).is(401);
    desk.post("/internal/sweep", json!(null)).is(200);
    for table in ["sessions", "refresh_tokens", "mailed_tokens", "outbox"] {
        let rows = desk.database().read(&format!("SELECT 1 FROM {table}"), &[]).unwrap();
        assert!(rows.is_empty(), "{table}");
    }
}

#[test]
fn a_session_is_refreshed_a_bounded_number_of_times() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let spend = |count: u32| {
        let insert = "
            INSERT INTO refresh_tokens (digest, session, expires_at_ms, spent)
            SELECT hex(randomblob(32)), (SELECT id FROM sessions), ?1, 1
            FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) SELECT i FROM n)";
        desk.database().read(insert, &[(desk.now_ms() + 60_000).into(), count.into()]).unwrap();
    };
    spend(REFRESHES_MAX - 2);
    let next = tokens(&desk.refresh(&ann.refresh).is(200));
    desk.refresh(&next.refresh).is(401);
    let left = desk.database().read("SELECT 1 FROM refresh_tokens", &[]).unwrap();
    assert!(left.is_empty(), "the session is over");
    desk.login("ann@example.com", PASSWORD);
}

#[test]
fn of_two_who_refresh_at_once_one_wins_and_the_session_ends() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let refresh = || {
            let (router, token) = (desk.instance(), ann.refresh.clone());
            scope.spawn(move || {
                let ask = Ask::new(&router, Method::POST, "/api/auth/refresh");
                ask.json(json!({"refresh_token": token}))
            })
        };
        let refreshes: Vec<_> = (0..4).map(|_| refresh()).collect();
        refreshes.into_iter().map(|refresh| refresh.join().unwrap()).collect()
    });
    let good: Vec<_> = answers.iter().filter(|answer| answer.status == StatusCode::OK).collect();
    assert_eq!(good.len(), 1);
    desk.refresh(&tokens(&good[0].json()).refresh).is(401);
}

#[test]
fn an_account_has_a_bounded_number_of_sessions() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    block_on(async {
        for _ in 0..SESSIONS_MAX {
            let transaction = desk.database().begin().await.unwrap();
            sessions::open(&transaction, &ann.account_id, desk.now_ms()).await.unwrap();
            transaction.commit().await.unwrap();
        }
    });
    desk.refresh(&ann.refresh).is(401);
    let rows = desk.database().read("SELECT 1 FROM sessions", &[]).unwrap();
    assert_eq!(rows.len(), SESSIONS_MAX as usize);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever tokens come back in whatever order: a session has one good token, or none for ever after a spent one
    /// was shown, and sessions do not touch one another.
    #[test]
    fn one_token_of_a_session_is_good(moves in prop::collection::vec((0..2_usize, any::<prop::sample::Index>()), 1..24)) {
        let desk = Desk::open();
        let account_id = Id::new().to_string();
        let insert = "INSERT INTO accounts (id, email, email_key, email_verified, name, marketing, role, created_at_ms)
            VALUES (?1, 'a@example.com', 'a@example.com', 1, '', 0, 'customer', 0)";
        desk.database().read(insert, &[account_id.as_str().into()]).unwrap();
        let open = || block_on(async {
            let transaction = desk.database().begin().await.unwrap();
            let refresh = sessions::open(&transaction, &account_id, desk.now_ms()).await.unwrap();
            transaction.commit().await.unwrap();
            refresh.token
        });
        // Of each session every token that was ever given, and whether the last of them should be good.
        let mut families = [(vec![open()], true), (vec![open()], true)];
        for (family, index) in moves {
            let (given, alive) = &mut families[family];
            let chosen = index.index(given.len());
            let answer = desk.refresh(&given[chosen]);
            let expected = *alive && chosen == given.len() - 1;
            prop_assert_eq!(answer.status == StatusCode::OK, expected);
            if expected {
                given.push(tokens(&answer.json()).refresh);
            } else {
                *alive = false;
            }
            let count = "SELECT count(*) FROM refresh_tokens WHERE spent = 0";
            let good: i64 = desk.database().read(count, &[]).unwrap().pop().unwrap().take(0).unwrap();
            prop_assert_eq!(good, families.iter().filter(|(_, alive)| *alive).count() as i64);
        }
    }
}
