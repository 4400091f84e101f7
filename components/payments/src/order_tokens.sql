-- The digest of the token by which a guest shows that an order is theirs.
ALTER TABLE intents ADD COLUMN order_token_digest TEXT
