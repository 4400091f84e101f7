-- The tariff. A body is what a client wrote, checked, as JSON.
CREATE TABLE zones (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL DEFAULT 1,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID

CREATE TABLE methods (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL DEFAULT 1,
    body TEXT NOT NULL,
    zone_id TEXT NOT NULL GENERATED ALWAYS AS (body ->> 'zone_id') STORED
) STRICT, WITHOUT ROWID

CREATE INDEX methods_by_zone ON methods (zone_id, id)

-- Cities and postcodes. `folded` is the name without case and accents. Rows of the sample that a new shop starts
-- with give way to what is imported for their country.
CREATE TABLE places (
    seq INTEGER PRIMARY KEY,
    country TEXT NOT NULL,
    postcode TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    region TEXT NOT NULL,
    population INTEGER NOT NULL,
    sample INTEGER NOT NULL,
    UNIQUE (country, folded, region, postcode)
) STRICT

CREATE INDEX places_by_population ON places (country, population DESC, seq)

CREATE INDEX places_by_postcode ON places (country, postcode)

CREATE INDEX places_of_sample ON places (country) WHERE sample = 1

CREATE TABLE seeds (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID

-- Shipments. `request` is what the order asked for, and tells whether it asks for the same again.
CREATE TABLE shipments (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (
        state IN ('created', 'packed', 'handed_over', 'in_transit', 'delivered', 'returned', 'cancelled')
    ),
    tracking_number TEXT,
    request TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX shipments_by_state ON shipments (state, id)

-- What happened to each shipment; rows are only ever added.
CREATE TABLE shipment_events (
    shipment TEXT NOT NULL,
    position INTEGER NOT NULL,
    state TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    recorded_at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    note TEXT,
    PRIMARY KEY (shipment, position)
) STRICT, WITHOUT ROWID

CREATE TRIGGER shipment_events_stay BEFORE UPDATE ON shipment_events
BEGIN
    SELECT RAISE(ABORT, 'shipment_events_are_only_added');
END

CREATE TRIGGER shipment_events_remain BEFORE DELETE ON shipment_events
BEGIN
    SELECT RAISE(ABORT, 'shipment_events_are_only_added');
END
