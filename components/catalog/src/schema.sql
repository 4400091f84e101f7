-- Products. `document` is the public JSON, ready to be sent; everything before it is what lists sort and
-- filter by, kept ahead of it so that SQLite need not read past it.
CREATE TABLE products (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    slug TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL DEFAULT 1,
    stock_version INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    price INTEGER NOT NULL,
    currency TEXT NOT NULL,
    available INTEGER NOT NULL,
    title TEXT NOT NULL COLLATE NOCASE,
    brand TEXT,
    image TEXT,
    document TEXT NOT NULL
) STRICT

CREATE INDEX products_by_price ON products (price) WHERE archived = 0

CREATE INDEX products_by_name ON products (title, seq, price) WHERE archived = 0

CREATE INDEX products_by_age ON products (id, seq, price) WHERE archived = 0

-- Variants hold the stock. The named constraints are how a shortage is told from other failures.
CREATE TABLE variants (
    sku TEXT PRIMARY KEY,
    product INTEGER NOT NULL,
    position INTEGER NOT NULL,
    price INTEGER NOT NULL CHECK (price >= 0),
    on_hand INTEGER NOT NULL CONSTRAINT stock_is_not_negative CHECK (on_hand >= 0),
    reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    CONSTRAINT stock_covers_reservations CHECK (reserved <= on_hand)
) STRICT, WITHOUT ROWID

CREATE INDEX variants_by_product ON variants (product)

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
    state TEXT NOT NULL DEFAULT 'released' CHECK (state IN ('held', 'committed', 'released', 'expired')),
    lines TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID

CREATE INDEX reservations_by_expiry ON reservations (expires_at_ms) WHERE state = 'held'

-- A new reservation starts without holding anything, so that one trigger takes stock for new and renewed ones.
CREATE TRIGGER reservation_made AFTER INSERT ON reservations
BEGIN
    UPDATE reservations SET state = 'held' WHERE order_id = NEW.order_id;
END

CREATE TRIGGER reservation_held AFTER UPDATE OF state ON reservations
WHEN NEW.state = 'held' AND OLD.state <> 'held'
BEGIN
    SELECT RAISE(ABORT, 'reservation_names_unknown_sku') FROM json_each(NEW.lines) AS line
    WHERE NOT EXISTS (
        SELECT 1 FROM variants JOIN products ON products.seq = variants.product
        WHERE variants.sku = line.value ->> 'sku' AND products.archived = 0
    );
    UPDATE variants SET reserved = reserved + (line.value ->> 'quantity')
    FROM json_each(NEW.lines) AS line WHERE variants.sku = line.value ->> 'sku';
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
    UPDATE variants SET reserved = reserved - (line.value ->> 'quantity')
    FROM json_each(NEW.lines) AS line WHERE variants.sku = line.value ->> 'sku';
END

-- Stock that moves shows in the document at once.
CREATE TRIGGER stock_moved AFTER UPDATE OF on_hand, reserved ON variants
WHEN NEW.on_hand - NEW.reserved <> OLD.on_hand - OLD.reserved
BEGIN
    UPDATE products SET
        stock_version = stock_version + 1,
        available = available + NEW.on_hand - NEW.reserved - OLD.on_hand + OLD.reserved,
        document = json_set(
            document,
            '$.available', available + NEW.on_hand - NEW.reserved - OLD.on_hand + OLD.reserved,
            '$.variants[' || NEW.position || '].available', NEW.on_hand - NEW.reserved
        )
    WHERE seq = NEW.product;
END

CREATE TRIGGER sold_out AFTER UPDATE OF available ON products
WHEN NEW.available = 0 AND OLD.available > 0
BEGIN
    DELETE FROM product_terms WHERE term = 1 AND product = NEW.seq;
END

CREATE TRIGGER back_in_stock AFTER UPDATE OF available ON products
WHEN NEW.available > 0 AND OLD.available = 0 AND NEW.archived = 0
BEGIN
    INSERT OR IGNORE INTO product_terms (term, product) VALUES (1, NEW.seq);
END

-- The answers to writes that carried an idempotency key.
CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID

CREATE INDEX idempotency_by_age ON idempotency (at_ms)
