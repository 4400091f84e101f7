-- Events for others, written with the change that they tell of, and gone after `kept_until_ms`.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    data TEXT NOT NULL,
    kept_until_ms INTEGER NOT NULL
) STRICT

CREATE INDEX outbox_by_expiry ON outbox (kept_until_ms)
