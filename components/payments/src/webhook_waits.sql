-- When a webhook is worked on again whose work failed.
ALTER TABLE webhooks ADD COLUMN due_at_ms INTEGER NOT NULL DEFAULT 0

CREATE INDEX webhooks_by_due ON webhooks (due_at_ms) WHERE state = 'stored'

CREATE INDEX webhooks_that_fail ON webhooks (attempts) WHERE state = 'stored'

DROP INDEX webhooks_to_do
