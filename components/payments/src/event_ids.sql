-- The event that told others of a step. Steps from before this, and those of a revision from before this, have none, and
-- are known to their event by their time.
ALTER TABLE transitions ADD COLUMN event_id TEXT

CREATE UNIQUE INDEX transitions_by_event ON transitions (event_id) WHERE event_id IS NOT NULL
