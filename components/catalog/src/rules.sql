-- Promotions and tax rates, as JSON in the shape that the calculator takes. `key` is what no other rule of its kind
-- may have: a promotion's coupon, a tax rate's name and place.
CREATE TABLE rules (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('promotion', 'tax_rate')),
    version INTEGER NOT NULL DEFAULT 1,
    key TEXT,
    rule TEXT NOT NULL,
    usage_max INTEGER,
    usage_max_per_customer INTEGER,
    used INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
    UNIQUE (kind, key)
) STRICT, WITHOUT ROWID

CREATE INDEX rules_by_kind ON rules (kind, id)

-- A single row. `version` counts everything that may change what a cart costs.
CREATE TABLE rule_book (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL,
    settings_version INTEGER NOT NULL,
    settings TEXT NOT NULL
) STRICT

INSERT INTO rule_book (only, version, settings_version, settings)
VALUES (1, 1, 1, '{"prices_include_tax":{"default":false,"exceptions":[]}}')

-- Every change of a rule, with who made it.
CREATE TABLE rule_changes (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    change TEXT NOT NULL,
    content TEXT NOT NULL,
    actor TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT

CREATE INDEX rule_changes_by_rule ON rule_changes (rule_id)

-- Coupons that were used, once for each order.
CREATE TABLE redemptions (
    order_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('redeemed', 'released')),
    customer TEXT,
    coupons TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

-- Which promotion each of them used, for the counts by customer; orders of guests have an empty one.
CREATE TABLE redeemed_promotions (
    rule_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (rule_id, customer, order_id)
) STRICT, WITHOUT ROWID

CREATE INDEX redeemed_promotions_by_order ON redeemed_promotions (order_id)

-- All coupons of an order are used or none is. A statement of its own, so that nobody waits for a transaction.
CREATE TRIGGER redemption_made AFTER INSERT ON redemptions
BEGIN
    INSERT INTO redeemed_promotions (rule_id, customer, order_id)
    SELECT rules.id, coalesce(NEW.customer, ''), NEW.order_id FROM json_each(NEW.coupons) AS coupon
    CROSS JOIN rules ON rules.kind = 'promotion' AND rules.key = coupon.value
    WHERE (usage_max IS NULL OR used < usage_max) AND (
        usage_max_per_customer IS NULL OR usage_max_per_customer > (
            SELECT count(*) FROM redeemed_promotions WHERE rule_id = rules.id AND customer = NEW.customer
        ) AND NEW.customer IS NOT NULL
    );
    SELECT RAISE(ABORT, 'coupon_cannot_be_used') WHERE json_array_length(NEW.coupons) <> (
        SELECT count(*) FROM redeemed_promotions WHERE order_id = NEW.order_id
    );
    UPDATE rules SET used = used + 1
    WHERE id IN (SELECT rule_id FROM redeemed_promotions WHERE order_id = NEW.order_id);
END

CREATE TRIGGER redemption_given_back AFTER UPDATE OF state ON redemptions
WHEN NEW.state = 'released' AND OLD.state = 'redeemed'
BEGIN
    UPDATE rules SET used = used - 1
    WHERE id IN (SELECT rule_id FROM redeemed_promotions WHERE order_id = NEW.order_id);
    DELETE FROM redeemed_promotions WHERE order_id = NEW.order_id;
END

-- A promotion that is used up is no longer among those that carts are priced by.
CREATE TRIGGER promotion_used_up AFTER UPDATE OF used ON rules
WHEN (NEW.used < NEW.usage_max) IS NOT (OLD.used < OLD.usage_max)
BEGIN
    UPDATE rule_book SET version = version + 1;
END
