-- Whether the units of a refund came back, though the money did not go: a bank may send back what it had taken. What had
-- succeeded before it failed is known by its event.
ALTER TABLE refunds ADD COLUMN taken_back INTEGER NOT NULL DEFAULT 0 CHECK (taken_back IN (0, 1))

UPDATE refunds SET taken_back = 1 WHERE state = 'succeeded' OR id IN (
    SELECT data ->> '$.refund.refund_id' FROM outbox WHERE type = 'bodega.order.refund_succeeded'
)
