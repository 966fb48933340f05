-- What Searchable's real schema lacks for a clean-up, and the application does not miss:
--
--   * users.test_metadata: its registration throws the marker away; whoever creates test users has to put it here;
--   * files.owner_id: computed from the metadata, so that a file can be followed from its owner;
--   * indexes on what a clean-up looks for, so that its time does not grow with the rows that stay.
--
-- Run once, by the owner of the tables.

ALTER TABLE users ADD COLUMN test_metadata JSONB;
ALTER TABLE files ADD COLUMN owner_id INTEGER GENERATED ALWAYS AS (
    CASE WHEN metadata ->> 'user_id' ~ '^[0-9]{1,9}$' THEN (metadata ->> 'user_id')::integer END
) STORED;

CREATE INDEX users_test_session ON users ((test_metadata #>> ARRAY['test_session_id']::text[]));
CREATE INDEX searchables_test_session ON searchables
    ((searchable_data #>> ARRAY['payloads', 'public', 'test_metadata', 'test_session_id']::text[]));

CREATE INDEX files_owner_id ON files (owner_id);
CREATE INDEX purchases_user_id ON purchases (user_id);
CREATE INDEX purchases_file_id ON purchases (file_id);
CREATE INDEX invoice_buyer_id ON invoice (buyer_id);
CREATE INDEX invoice_seller_id ON invoice (seller_id);
CREATE INDEX invoice_searchable_id ON invoice (searchable_id);
CREATE INDEX payment_invoice_id ON payment (invoice_id);
CREATE INDEX invoice_note_invoice_id ON invoice_note (invoice_id);
CREATE INDEX invoice_note_user_id ON invoice_note (user_id);
CREATE INDEX rating_invoice_id ON rating (invoice_id);
CREATE INDEX rating_user_id ON rating (user_id);
CREATE INDEX withdrawal_user_id ON withdrawal (user_id);
CREATE INDEX searchable_tags_tag_id ON searchable_tags (tag_id);
CREATE INDEX feedback_user_id ON feedback (user_id);
