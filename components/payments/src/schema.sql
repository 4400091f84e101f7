-- One intent per order. Amounts are minor units of the currency.
CREATE TABLE intents (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    reference TEXT,
    state TEXT NOT NULL
        CHECK (state IN ('created', 'requires_action', 'authorized', 'captured', 'voided', 'declined', 'failed')),
    currency TEXT NOT NULL,
    amount INTEGER NOT NULL CONSTRAINT intent_over_something CHECK (amount > 0),
    captured INTEGER NOT NULL DEFAULT 0,
    refunded INTEGER NOT NULL DEFAULT 0,
    refund_pending INTEGER NOT NULL DEFAULT 0,
    payment_method TEXT NOT NULL,
    customer TEXT,
    return_url TEXT,
    next_action TEXT,
    failure TEXT,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    CONSTRAINT captured_within_amount CHECK (captured BETWEEN 0 AND amount),
    CONSTRAINT captured_in_its_state CHECK (captured = 0 OR state = 'captured'),
    CONSTRAINT refunds_within_capture
        CHECK (refunded >= 0 AND refund_pending >= 0 AND refunded + refund_pending <= captured)
) STRICT, WITHOUT ROWID

CREATE UNIQUE INDEX intents_by_reference ON intents (provider, reference) WHERE reference IS NOT NULL

-- The amount and the order of an intent are what the provider was asked for.
CREATE TRIGGER intent_is_fixed BEFORE UPDATE OF id, order_id, provider, currency, amount ON intents
BEGIN
    SELECT RAISE(ABORT, 'intent_is_fixed');
END

CREATE TABLE refunds (
    intent TEXT NOT NULL REFERENCES intents (id),
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    amount INTEGER NOT NULL CHECK (amount > 0),
    reason TEXT NOT NULL,
    reference TEXT,
    failure TEXT,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (intent, id)
) STRICT, WITHOUT ROWID

-- What was asked of a provider. The id is the idempotency key; an open one has an outcome that is not known yet.
CREATE TABLE operations (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    intent TEXT NOT NULL REFERENCES intents (id),
    kind TEXT NOT NULL CHECK (kind IN ('authorize', 'capture', 'void', 'refund')),
    refund TEXT CHECK ((kind = 'refund') = (refund IS NOT NULL)),
    open INTEGER NOT NULL DEFAULT 1 CHECK (open IN (0, 1)),
    attempts INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT

-- Of two callers at once, one has the operation.
CREATE UNIQUE INDEX operations_open_once ON operations (intent, kind, ifnull(refund, '')) WHERE open = 1

CREATE INDEX operations_by_due ON operations (due_at_ms) WHERE open = 1

-- Every move of an intent (refund IS NULL) or a refund: when, by what, and when the provider says it happened.
CREATE TABLE transitions (
    seq INTEGER PRIMARY KEY,
    intent TEXT NOT NULL REFERENCES intents (id),
    refund TEXT,
    from_state TEXT,
    to_state TEXT NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('call', 'confirm', 'webhook', 'sweep')),
    cause_id TEXT NOT NULL,
    reported_at_ms INTEGER,
    at_ms INTEGER NOT NULL
) STRICT

CREATE INDEX transitions_by_intent ON transitions (intent, seq)

CREATE TRIGGER transitions_stay_changed BEFORE UPDATE ON transitions
BEGIN
    SELECT RAISE(ABORT, 'transitions_stay');
END

CREATE TRIGGER transitions_stay_removed BEFORE DELETE ON transitions
BEGIN
    SELECT RAISE(ABORT, 'transitions_stay');
END

-- Webhooks as they came, stored before they are worked on.
CREATE TABLE webhooks (
    provider TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'stored' CHECK (state IN ('stored', 'applied', 'ignored')),
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (provider, id)
) STRICT, WITHOUT ROWID

CREATE INDEX webhooks_to_do ON webhooks (attempts, created_at_ms) WHERE state = 'stored'

CREATE INDEX webhooks_by_age ON webhooks (received_at_ms) WHERE state <> 'stored'
