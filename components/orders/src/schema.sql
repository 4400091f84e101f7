-- Orders. `content` is what was sold to whom at which prices. `step` is where the checkout stands. Amounts are minor
-- units of the currency.
CREATE TABLE orders (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    number TEXT NOT NULL UNIQUE,
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    customer TEXT,
    email TEXT,
    token_digest TEXT,
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'paid', 'packed', 'shipped', 'delivered', 'cancelled', 'refunded', 'failed')),
    step TEXT CHECK (step IN ('reserve', 'redeem', 'authorize', 'rehold', 'commit', 'capture')),
    version INTEGER NOT NULL DEFAULT 1,
    currency TEXT NOT NULL,
    total INTEGER NOT NULL CHECK (total >= 0),
    refunded INTEGER NOT NULL DEFAULT 0,
    refund_pending INTEGER NOT NULL DEFAULT 0,
    next_action TEXT,
    failure TEXT,
    tracking TEXT,
    created_at_ms INTEGER NOT NULL,
    paid_at_ms INTEGER,
    paid_version INTEGER,
    updated_at_ms INTEGER NOT NULL,
    touched_at_ms INTEGER NOT NULL,
    content TEXT NOT NULL,
    CONSTRAINT one_order_per_key UNIQUE (actor, key),
    CONSTRAINT step_while_pending CHECK ((step IS NOT NULL) = (state = 'pending')),
    CONSTRAINT refunds_within_total
        CHECK (refunded >= 0 AND refund_pending >= 0 AND refunded + refund_pending <= total)
) STRICT

CREATE INDEX orders_by_customer ON orders (customer, id) WHERE customer IS NOT NULL

CREATE INDEX orders_by_email ON orders (email, id) WHERE email IS NOT NULL

CREATE INDEX orders_by_state ON orders (state, id)

-- What was sold is a fact.
CREATE TRIGGER order_is_fixed
BEFORE UPDATE OF id, number, actor, key, fingerprint, customer, email, token_digest, currency, total, content ON orders
BEGIN
    SELECT RAISE(ABORT, 'order_is_fixed');
END

-- What is still to be done. Who works on a task holds it until `due_at_ms`; if they die, it is due again then. `holder`
-- counts those who held it.
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id TEXT NOT NULL REFERENCES orders (id),
    kind TEXT NOT NULL,
    reference TEXT NOT NULL DEFAULT '',
    lane TEXT NOT NULL,
    data TEXT,
    held INTEGER NOT NULL CHECK (held IN (0, 1)),
    holder INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (order_id, kind, reference)
) STRICT

CREATE INDEX tasks_by_due ON tasks (due_at_ms)

-- What came of every step and task.
CREATE TABLE steps (
    seq INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (id),
    step TEXT NOT NULL,
    outcome TEXT NOT NULL,
    note TEXT,
    attempts INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT

CREATE INDEX steps_by_order ON steps (order_id, seq)

-- Every change of state: from where to where, on whose behalf, why, and the event that tells of it.
CREATE TABLE history (
    seq INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (id),
    from_state TEXT,
    to_state TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('customer', 'guest', 'staff', 'system')),
    account TEXT,
    reason TEXT,
    event_id TEXT NOT NULL UNIQUE,
    at_ms INTEGER NOT NULL
) STRICT

CREATE INDEX history_by_order ON history (order_id, seq)

CREATE TRIGGER history_stays_changed BEFORE UPDATE ON history
BEGIN
    SELECT RAISE(ABORT, 'history_stays');
END

CREATE TRIGGER history_stays_removed BEFORE DELETE ON history
BEGIN
    SELECT RAISE(ABORT, 'history_stays');
END

-- `actor` and `key` are those of the request; what the shop gives back by itself has none.
CREATE TABLE refunds (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (id),
    actor TEXT,
    key TEXT,
    fingerprint TEXT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    amount INTEGER NOT NULL CHECK (amount > 0),
    lines TEXT NOT NULL,
    shipping INTEGER NOT NULL CHECK (shipping IN (0, 1)),
    reason TEXT NOT NULL,
    restock INTEGER NOT NULL CHECK (restock IN (0, 1)),
    failure TEXT,
    created_at_ms INTEGER NOT NULL,
    CONSTRAINT one_refund_per_key UNIQUE (actor, key)
) STRICT, WITHOUT ROWID

CREATE INDEX refunds_by_order ON refunds (order_id, created_at_ms)
