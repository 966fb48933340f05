-- Searchable's schema as the document of its test clean-up assumes it: markers in JSON columns, everything that
-- belongs to a user or a searchable tied to it by a foreign key. The application never had it;
-- schema.postgres.sql is what it had.
--
-- Runs inside the caller's transaction.

CREATE TABLE users (
    id            SERIAL PRIMARY KEY,
    username      VARCHAR(32) NOT NULL,
    email         VARCHAR(64) NOT NULL UNIQUE,
    password      TEXT,
    role          TEXT NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    test_metadata JSON,
    date_joined   TIMESTAMP
);
CREATE INDEX users_test_session ON users ((test_metadata #>> ARRAY['test_session_id']::text[]));

CREATE TABLE user_profiles (
    id           SERIAL PRIMARY KEY,
    user_id      INTEGER NOT NULL UNIQUE REFERENCES users (id),
    introduction TEXT,
    created_at   TIMESTAMPTZ NOT NULL
);

CREATE TABLE user_sessions (
    id         SERIAL PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    token      TEXT NOT NULL UNIQUE,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX user_sessions_user_id ON user_sessions (user_id);

CREATE TABLE user_balances (
    user_id  INTEGER NOT NULL REFERENCES users (id),
    currency TEXT NOT NULL,
    balance  NUMERIC(20, 8) NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, currency)
);

CREATE TABLE searchables (
    id         SERIAL PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    payloads   JSON NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX searchables_user_id ON searchables (user_id);

CREATE TABLE files (
    id            SERIAL PRIMARY KEY,
    searchable_id INTEGER NOT NULL REFERENCES searchables (id),
    uri           TEXT NOT NULL,
    metadata      JSON NOT NULL
);
CREATE INDEX files_searchable_id ON files (searchable_id);

CREATE TABLE media_uploads (
    id            SERIAL PRIMARY KEY,
    searchable_id INTEGER NOT NULL REFERENCES searchables (id),
    mime_type     TEXT NOT NULL
);
CREATE INDEX media_uploads_searchable_id ON media_uploads (searchable_id);

-- Three parties: who buys, who sells, and what.
CREATE TABLE invoices (
    id            SERIAL PRIMARY KEY,
    searchable_id INTEGER NOT NULL REFERENCES searchables (id),
    buyer_id      INTEGER NOT NULL REFERENCES users (id),
    seller_id     INTEGER NOT NULL REFERENCES users (id),
    amount        NUMERIC(20, 8) NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL
);
CREATE INDEX invoices_searchable_id ON invoices (searchable_id);
CREATE INDEX invoices_buyer_id ON invoices (buyer_id);
CREATE INDEX invoices_seller_id ON invoices (seller_id);

CREATE TABLE payments (
    id         SERIAL PRIMARY KEY,
    invoice_id INTEGER NOT NULL REFERENCES invoices (id),
    amount     NUMERIC(20, 8) NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('pending', 'complete', 'failed'))
);
CREATE INDEX payments_invoice_id ON payments (invoice_id);

CREATE TABLE invoice_notes (
    id         SERIAL PRIMARY KEY,
    invoice_id INTEGER NOT NULL REFERENCES invoices (id),
    user_id    INTEGER NOT NULL REFERENCES users (id),
    content    TEXT NOT NULL
);
CREATE INDEX invoice_notes_invoice_id ON invoice_notes (invoice_id);
CREATE INDEX invoice_notes_user_id ON invoice_notes (user_id);

CREATE TABLE ratings (
    id            SERIAL PRIMARY KEY,
    searchable_id INTEGER NOT NULL REFERENCES searchables (id),
    user_id       INTEGER NOT NULL REFERENCES users (id),
    rating        DOUBLE PRECISION NOT NULL CHECK (rating BETWEEN 0 AND 5),
    review        TEXT
);
CREATE INDEX ratings_searchable_id ON ratings (searchable_id);
CREATE INDEX ratings_user_id ON ratings (user_id);

-- A withdrawal is its user's; the invoice, where there is one, is what it was asked for.
CREATE TABLE withdrawals (
    id         SERIAL PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    invoice_id INTEGER REFERENCES invoices (id),
    amount     NUMERIC(20, 8) NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('pending', 'complete', 'failed'))
);
CREATE INDEX withdrawals_user_id ON withdrawals (user_id);
CREATE INDEX withdrawals_invoice_id ON withdrawals (invoice_id);

CREATE TABLE metrics (
    id           SERIAL PRIMARY KEY,
    metric_name  VARCHAR(100) NOT NULL,
    metric_value DOUBLE PRECISION DEFAULT 1,
    tags         JSON,
    metadata     JSON,
    created_at   TIMESTAMPTZ NOT NULL
);
