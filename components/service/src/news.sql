-- Orders that have yet to hear what happened. `seq` counts what happened meanwhile; who tells an order has it until
-- `due_at_ms`.
CREATE TABLE news (
    order_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL DEFAULT 1,
    attempts INTEGER NOT NULL DEFAULT 1,
    due_at_ms INTEGER NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX news_by_due ON news (due_at_ms)
