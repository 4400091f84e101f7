-- An audit asks for the events of an order.
CREATE INDEX outbox_by_subject ON outbox (subject)

-- The time of the last event that was removed, if any was: what happened until then may have no event any more.
CREATE TABLE outbox_pruned (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    through TEXT NOT NULL
) STRICT
