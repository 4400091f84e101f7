-- The event that told others of what happened. Rows from before this, and those of a revision from before this, have none,
-- and are known to their event by their time.
ALTER TABLE shipment_events ADD COLUMN event_id TEXT

CREATE UNIQUE INDEX shipment_events_by_event ON shipment_events (event_id) WHERE event_id IS NOT NULL
