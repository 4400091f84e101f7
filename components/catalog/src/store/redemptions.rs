//! Redemptions: the coupons of an order are used all or none, and once.
//!
//! Every step is one statement; the triggers of the schema count the uses with it, and decide between two orders
//! that want the last one.

use service::Error;
use sql::{Database, Row};

use super::json_list;
use crate::error::Refusal;
use crate::redemption::{Reason, Redemption, RefusedCoupon, refusal};
use crate::rules::Limits;

/// Uses the coupons of an order. The same order again gives the redemption that it has.
pub(crate) async fn redeem(database: &Database, wish: Redemption, now_ms: i64) -> Result<Redemption, Error> {
    const REDEEM: &str = "
        INSERT INTO redemptions (order_id, state, customer, coupons, at_ms) VALUES (?1, 'redeemed', ?2, ?3, ?4)
        ON CONFLICT (order_id) DO NOTHING RETURNING order_id";
    let params = [
        wish.order_id.as_str().into(),
        wish.customer.clone().into(),
        serde_json::to_string(&wish.coupons)?.into(),
        now_ms.into(),
    ];
    match database.execute(REDEEM, &params).await {
        Ok(made) if made.is_empty() => {}
        Ok(_) => return Ok(wish),
        Err(error) if error.names("coupon_cannot_be_used") => {
            return Err(Refusal::CouponsRefused(refused(database, &wish).await?).into());
        }
        Err(error) => return Err(error.into()),
    }
    let existing = find(database, &wish.order_id).await?;
    match existing.coupons == wish.coupons && existing.customer == wish.customer {
        true => Ok(existing),
        false => Err(Refusal::RedemptionDiffers(wish.order_id).into()),
    }
}

/// Gives the uses of an order back. Giving them back again changes nothing.
pub(crate) async fn release(database: &Database, order_id: &str) -> Result<Redemption, Error> {
    const RELEASE: &str = "UPDATE redemptions SET state = 'released' WHERE order_id = ?1 AND state = 'redeemed'";
    database.execute(RELEASE, &[order_id.into()]).await?;
    find(database, order_id).await
}

async fn find(database: &Database, order_id: &str) -> Result<Redemption, Error> {
    const FIND: &str = "SELECT state, customer, coupons FROM redemptions WHERE order_id = ?1";
    let found = database.execute(FIND, &[order_id.into()]).await?.pop();
    let mut row = found.ok_or_else(|| Error::NotFound { what: "redemption", key: order_id.to_owned() })?;
    Ok(Redemption {
        order_id: order_id.to_owned(),
        state: serde_json::from_value(row.take::<String>(0)?.into())?,
        customer: row.take(1)?,
        coupons: serde_json::from_str(&row.take::<String>(2)?)?,
    })
}

/// The coupons that cannot be used now. If a use was given back meanwhile there may be none, and the order may try
/// again.
async fn refused(database: &Database, wish: &Redemption) -> Result<Vec<RefusedCoupon>, Error> {
    const PROMOTIONS: &str = "
        SELECT coupon.value, rules.id IS NOT NULL, usage_max, usage_max_per_customer, coalesce(used, 0), (
            SELECT count(*) FROM redeemed_promotions WHERE rule_id = rules.id AND customer = ?2
        ) FROM json_each(?1) AS coupon LEFT JOIN rules ON rules.kind = 'promotion' AND rules.key = coupon.value
        ORDER BY coupon.key";
    let coupons: Vec<&String> = wish.coupons.iter().collect();
    let rows = database.execute(PROMOTIONS, &[json_list(&coupons), wish.customer.clone().into()]).await?;
    let judged = |mut row: Row| {
        let coupon = row.take(0)?;
        let limits = Limits { usage_max: row.take(2)?, usage_max_per_customer: row.take(3)? };
        let used_by_customer = wish.customer.as_ref().map(|_| row.take(5)).transpose()?;
        let reason = match row.take(1)? {
            true => refusal(limits, row.take(4)?, used_by_customer),
            false => Some(Reason::Unknown),
        };
        Ok(reason.map(|reason| RefusedCoupon { coupon, reason }))
    };
    rows.into_iter().map(judged).filter_map(Result::transpose).collect()
}
