-- Products. `document` is the public JSON with a 0 for each count of units, and `count_places` says where these
-- zeros are: a unit that is sold changes a short row of `variants` and not a long text. Everything before them
-- is what lists sort and filter by, kept ahead so that SQLite need not read past it.
CREATE TABLE products (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    slug TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL DEFAULT 1,
    archived INTEGER NOT NULL DEFAULT 0,
    price INTEGER NOT NULL,
    currency TEXT NOT NULL,
    in_stock INTEGER NOT NULL,
    title TEXT NOT NULL COLLATE NOCASE,
    brand TEXT,
    image TEXT,
    count_places TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT

CREATE INDEX products_by_price ON products (price) WHERE archived = 0

CREATE INDEX products_by_name ON products (title, seq, price) WHERE archived = 0

CREATE INDEX products_by_age ON products (id, seq, price) WHERE archived = 0

-- Variants hold the stock, those of a product side by side so that its counts are read at once. The named
-- constraints are how a shortage is told from other failures. `archived` repeats what the product is, and
-- `moves` counts how often the units at hand changed since the product was last written.
CREATE TABLE variants (
    product INTEGER NOT NULL,
    position INTEGER NOT NULL,
    sku TEXT NOT NULL UNIQUE,
    price INTEGER NOT NULL CHECK (price >= 0),
    archived INTEGER NOT NULL DEFAULT 0,
    on_hand INTEGER NOT NULL CONSTRAINT stock_is_not_negative CHECK (on_hand >= 0),
    reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    moves INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (product, position),
    CONSTRAINT stock_covers_reservations CHECK (reserved <= on_hand)
) STRICT, WITHOUT ROWID

-- Every change of a counted stock, with who made it and why. Reservations are their own record.
CREATE TABLE stock_adjustments (
    seq INTEGER PRIMARY KEY,
    sku TEXT NOT NULL,
    delta INTEGER NOT NULL,
    on_hand INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT

CREATE INDEX stock_adjustments_by_sku ON stock_adjustments (sku)

CREATE TABLE categories (
    slug TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    parent TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 1,
    UNIQUE (parent, name)
) STRICT, WITHOUT ROWID

-- Terms are all that a list filters by and counts: category, brand, attribute, price range, availability.
-- Only active products have them, and `products` counts how many, which also tells a narrow term from a broad one.
CREATE TABLE terms (
    id INTEGER PRIMARY KEY,
    facet TEXT NOT NULL,
    value TEXT NOT NULL,
    products INTEGER NOT NULL DEFAULT 0,
    UNIQUE (facet, value)
) STRICT

CREATE TABLE product_terms (
    term INTEGER NOT NULL,
    product INTEGER NOT NULL,
    PRIMARY KEY (term, product)
) STRICT, WITHOUT ROWID

CREATE INDEX product_terms_by_product ON product_terms (product, term)

CREATE TRIGGER term_gained AFTER INSERT ON product_terms
BEGIN
    UPDATE terms SET products = products + 1 WHERE id = NEW.term;
END

CREATE TRIGGER term_lost AFTER DELETE ON product_terms
BEGIN
    UPDATE terms SET products = products - 1 WHERE id = OLD.term;
END

-- The triggers below name this term by its id.
INSERT INTO terms (id, facet, value) VALUES (1, 'in_stock', 'true')

-- The full-text index of active products. It keeps no copy of the texts, which stand in the document.
CREATE VIRTUAL TABLE product_search USING fts5(
    title, brand, keywords, description,
    content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
)

-- A word in the title says more about a product than one in its description.
INSERT INTO product_search (product_search, rank) VALUES ('rank', 'bm25(10.0, 6.0, 4.0, 1.0)')

CREATE TABLE reservations (
    order_id TEXT PRIMARY KEY,
    state TEXT NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'committed', 'released', 'expired')),
    lines TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX reservations_by_expiry ON reservations (expires_at_ms) WHERE state = 'held'

-- Stock that came back from orders that were sold.
CREATE TABLE restocks (
    id TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    lines TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX restocks_by_order ON restocks (order_id)

-- What has expired holds nothing, and makes room for the same order's new try.
CREATE TRIGGER reservation_tried_again BEFORE INSERT ON reservations
BEGIN
    DELETE FROM reservations WHERE order_id = NEW.order_id AND state = 'expired' AND lines = NEW.lines;
END

CREATE TRIGGER reservation_made AFTER INSERT ON reservations
BEGIN
    UPDATE variants SET reserved = reserved + (line.value ->> 'quantity'), moves = moves + 1
    FROM json_each(NEW.lines) AS line WHERE variants.sku = line.value ->> 'sku' AND variants.archived = 0;
    SELECT RAISE(ABORT, 'reservation_names_unknown_sku') FROM json_each(NEW.lines) AS line
    WHERE NOT EXISTS (SELECT 1 FROM variants WHERE sku = line.value ->> 'sku' AND archived = 0);
END

CREATE TRIGGER reservation_committed AFTER UPDATE OF state ON reservations
WHEN NEW.state = 'committed' AND OLD.state = 'held'
BEGIN
    UPDATE variants
    SET on_hand = on_hand - (line.value ->> 'quantity'), reserved = reserved - (line.value ->> 'quantity')
    FROM json_each(NEW.lines) AS line WHERE variants.sku = line.value ->> 'sku';
END

CREATE TRIGGER reservation_given_back AFTER UPDATE OF state ON reservations
WHEN NEW.state IN ('released', 'expired') AND OLD.state = 'held'
BEGIN
    UPDATE variants SET reserved = reserved - (line.value ->> 'quantity'), moves = moves + 1
    FROM json_each(NEW.lines) AS line WHERE variants.sku = line.value ->> 'sku';
END

-- A product is in stock while one of its variants is. Only the first and the last unit write to it.
CREATE TRIGGER stock_turned AFTER UPDATE OF on_hand, reserved ON variants
WHEN (NEW.on_hand > NEW.reserved) <> (OLD.on_hand > OLD.reserved)
BEGIN
    UPDATE products SET in_stock = NOT in_stock WHERE seq = NEW.product AND in_stock <> EXISTS (
        SELECT 1 FROM variants WHERE product = NEW.product AND on_hand > reserved
    );
END

CREATE TRIGGER sold_out AFTER UPDATE OF in_stock ON products
WHEN OLD.in_stock AND NOT NEW.in_stock
BEGIN
    DELETE FROM product_terms WHERE term = 1 AND product = NEW.seq;
END

CREATE TRIGGER back_in_stock AFTER UPDATE OF in_stock ON products
WHEN NEW.in_stock AND NOT OLD.in_stock AND NOT NEW.archived
BEGIN
    INSERT OR IGNORE INTO product_terms (term, product) VALUES (1, NEW.seq);
END
