-- The books of the test provider: an outside system in all but its address. Nothing else reads or writes them.
CREATE TABLE test_provider_charges (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    id TEXT NOT NULL UNIQUE,
    order_id TEXT NOT NULL,
    token TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('requires_action', 'authorized', 'captured', 'voided', 'declined')),
    ready_at_ms INTEGER NOT NULL
) STRICT

CREATE TABLE test_provider_refunds (
    key TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    charge TEXT NOT NULL REFERENCES test_provider_charges (id),
    amount INTEGER NOT NULL,
    ready_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX test_provider_refunds_by_charge ON test_provider_refunds (charge)

CREATE TRIGGER test_provider_keeps_its_money BEFORE INSERT ON test_provider_refunds
BEGIN
    SELECT RAISE(IGNORE) FROM test_provider_charges AS charge
    WHERE charge.id = NEW.charge AND (charge.state <> 'captured' OR charge.amount < NEW.amount + (
        SELECT coalesce(sum(amount), 0) FROM test_provider_refunds WHERE charge = NEW.charge
    ));
END

-- How often each key was shown, which decides whose first answer is lost.
CREATE TABLE test_provider_requests (
    key TEXT PRIMARY KEY,
    requests INTEGER NOT NULL
) STRICT, WITHOUT ROWID
