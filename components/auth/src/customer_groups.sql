-- The group that an account is priced in.
ALTER TABLE accounts ADD COLUMN customer_group TEXT
