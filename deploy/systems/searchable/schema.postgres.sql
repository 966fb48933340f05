-- Searchable's schema as it really is: of all the references only seven are foreign keys, and no invoice, profile,
-- purchase, withdrawal or searchable is tied to its user by one. Metrics carry their first four tags as `key:value`
-- texts, and what a searchable is lies in one JSON column.
--
-- Runs inside the caller's transaction. additions.postgres.sql is what resetd needs besides.

CREATE TABLE users (
    id              SERIAL PRIMARY KEY,
    username        VARCHAR(32) NOT NULL,
    email           VARCHAR(64),
    password        TEXT,
    jwt_auth_active BOOLEAN,
    date_joined     TIMESTAMP
);

-- Tokens that were revoked. Nothing here says whose they are.
CREATE TABLE jwt_token_blocklist (
    id         SERIAL PRIMARY KEY,
    jwt_token  VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- terminal_id is the user's id.
CREATE TABLE searchables (
    searchable_id   SERIAL PRIMARY KEY,
    terminal_id     INTEGER NOT NULL,
    type            TEXT NOT NULL,
    searchable_data JSONB NOT NULL
);
CREATE INDEX searchables_terminal_id ON searchables (terminal_id);

CREATE TABLE terminal (
    terminal_id   SERIAL PRIMARY KEY,
    terminal_data JSONB NOT NULL
);

CREATE TABLE kv (
    type TEXT NOT NULL,
    pkey TEXT NOT NULL,
    fkey TEXT NOT NULL,
    data JSONB NOT NULL,
    PRIMARY KEY (type, pkey, fkey)
);

-- Whose a file is stands in its metadata: {"user_id": …, "original_filename": …}.
CREATE TABLE files (
    file_id  SERIAL PRIMARY KEY,
    uri      TEXT NOT NULL,
    metadata JSONB NOT NULL
);

CREATE TABLE purchases (
    purchase_id SERIAL PRIMARY KEY,
    user_id     INTEGER NOT NULL,
    file_id     INTEGER NOT NULL REFERENCES files (file_id) ON DELETE CASCADE,
    created_at  TIMESTAMPTZ,
    metadata    JSONB NOT NULL
);

CREATE TABLE invoice (
    id            SERIAL PRIMARY KEY,
    buyer_id      INTEGER NOT NULL,
    seller_id     INTEGER NOT NULL,
    searchable_id INTEGER NOT NULL,
    amount        NUMERIC(20, 8) NOT NULL,
    fee           NUMERIC(20, 8) NOT NULL DEFAULT 0,
    currency      TEXT NOT NULL CHECK (currency = 'usd'),
    type          TEXT NOT NULL CHECK (type IN ('stripe', 'balance')),
    external_id   TEXT NOT NULL UNIQUE,
    created_at    TIMESTAMPTZ,
    metadata      JSONB NOT NULL
);

CREATE TABLE payment (
    id          SERIAL PRIMARY KEY,
    invoice_id  INTEGER NOT NULL REFERENCES invoice (id) ON DELETE CASCADE,
    amount      NUMERIC(20, 8) NOT NULL,
    fee         NUMERIC(20, 8) NOT NULL DEFAULT 0,
    currency    TEXT NOT NULL,
    type        TEXT NOT NULL,
    external_id TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('pending', 'complete', 'failed')),
    created_at  TIMESTAMPTZ,
    metadata    JSONB NOT NULL
);

CREATE TABLE withdrawal (
    id          SERIAL PRIMARY KEY,
    user_id     INTEGER NOT NULL,
    amount      NUMERIC(20, 8) NOT NULL,
    fee         NUMERIC(20, 8) NOT NULL DEFAULT 0,
    currency    TEXT NOT NULL,
    type        TEXT NOT NULL CHECK (type = 'bank_transfer'),
    external_id TEXT,
    status      TEXT NOT NULL CHECK (status IN ('pending', 'complete', 'failed')),
    created_at  TIMESTAMPTZ,
    metadata    JSONB NOT NULL
);

CREATE TABLE invoice_note (
    id           SERIAL PRIMARY KEY,
    invoice_id   INTEGER NOT NULL REFERENCES invoice (id) ON DELETE CASCADE,
    user_id      INTEGER NOT NULL,
    buyer_seller TEXT NOT NULL,
    content      TEXT NOT NULL,
    metadata     JSONB NOT NULL,
    created_at   TIMESTAMPTZ
);

CREATE TABLE rating (
    id         SERIAL PRIMARY KEY,
    invoice_id INTEGER NOT NULL REFERENCES invoice (id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL,
    rating     DOUBLE PRECISION NOT NULL CHECK (rating BETWEEN 0 AND 5),
    review     TEXT,
    metadata   JSONB NOT NULL,
    created_at TIMESTAMPTZ
);

CREATE TABLE user_profile (
    id                SERIAL PRIMARY KEY,
    user_id           INTEGER NOT NULL UNIQUE,
    username          TEXT NOT NULL,
    profile_image_url TEXT,
    introduction      TEXT,
    metadata          JSONB NOT NULL,
    created_at        TIMESTAMPTZ,
    updated_at        TIMESTAMPTZ
);

CREATE FUNCTION touch_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER touch BEFORE UPDATE ON user_profile FOR EACH ROW EXECUTE FUNCTION touch_profile();

CREATE TABLE metrics (
    event_id     SERIAL PRIMARY KEY,
    metric_name  VARCHAR(100) NOT NULL,
    metric_value DOUBLE PRECISION DEFAULT 1,
    tag1         TEXT,
    tag2         TEXT,
    tag3         TEXT,
    tag4         TEXT,
    created_at   TIMESTAMPTZ,
    metadata     JSONB NOT NULL
);

CREATE TABLE tags (
    id   SERIAL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE searchable_tags (
    searchable_id INTEGER NOT NULL REFERENCES searchables (searchable_id) ON DELETE CASCADE,
    tag_id        INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    PRIMARY KEY (searchable_id, tag_id)
);

CREATE TABLE feedback (
    id      SERIAL PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    content TEXT NOT NULL
);
