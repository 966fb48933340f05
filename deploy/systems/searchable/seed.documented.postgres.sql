-- Rows for schema.documented.postgres.sql, the same at every load. A clean-up of the first session takes exactly
-- what the document's example shows: 25 users, 12 searchables, 35 invoices, 8 files, 6 ratings, 3 withdrawals,
-- 150 metrics.
--
-- Runs inside the caller's transaction, after the schema.

-- What the tests put into what they create.
CREATE FUNCTION pg_temp.mark(session text, kind text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object(
        'test_session_id', session, 'test_timestamp', '2024-01-01T12:00:00.000000',
        'test_marker', 'integration_test_data', 'created_by_test', true, 'test_data_type', kind)
$$;
CREATE FUNCTION pg_temp.first_session() RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT 'test_session_1640995200_abc12345' $$;
CREATE FUNCTION pg_temp.second_session() RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT 'test_session_1754316000_5f3a9c01' $$;

-- Users 1 to 40 are real; some look like test users and are none. 101 to 125 are the first session's,
-- 201 to 210 the second's.
INSERT INTO users (id, username, email, role, test_metadata, date_joined)
SELECT n, 'user' || n, 'user' || n || CASE n % 2 WHEN 0 THEN '@gmail.com' ELSE '@outlook.com' END, 'user', NULL,
       TIMESTAMP '2023-01-01' + n * INTERVAL '1 day'
FROM generate_series(6, 40) AS n;
INSERT INTO users (id, username, email, role, test_metadata, date_joined)
SELECT n, 'test_user_' || n, 'test_user_' || n || '@example.com', 'user',
       pg_temp.mark(CASE WHEN n < 200 THEN pg_temp.first_session() ELSE pg_temp.second_session() END, 'user'),
       TIMESTAMP '2024-01-01 12:00'
FROM generate_series(101, 210) AS n WHERE n <= 125 OR n > 200;
INSERT INTO users (id, username, email, role, test_metadata, date_joined) VALUES
    (1, 'root', 'root@searchable.example', 'admin', NULL, '2023-01-01'),
    (2, 'vera', 'x@test.com.evil.org', 'user', NULL, '2023-01-01'),
    (3, 'bob', 'bob@test.community', 'user', NULL, '2023-01-01'),
    (4, 'ceo', 'ceo@dev.company.com', 'user', NULL, '2023-01-01'),
    (5, 'ana', 'ana@evil-example.com', 'user', NULL, '2023-01-01'),
    (301, 'qa_admin', 'admin.qa@example.com', 'admin', pg_temp.mark(pg_temp.first_session(), 'user'), '2023-01-01'),  -- marked, but an admin
    (302, 'collector', 'collector@gmail.com', 'user', pg_temp.mark(pg_temp.first_session(), 'user'), '2023-01-01'),  -- marked, but at a real address
    (303, 'other', 'other@example.com', 'user', pg_temp.mark(pg_temp.first_session(), 'user') || '{"test_marker": "load_test_data"}', '2023-01-01'),  -- another marker
    (304, 'unmarked', 'unmarked@example.com', 'user', pg_temp.mark(pg_temp.first_session(), 'user') - 'test_marker', '2023-01-01'),  -- the session without the marker
    (305, 'plain', 'plain@example.com', 'user', NULL, '2023-01-01'),  -- a test user whom no test has marked
    (306, 'nobody', 'nobody@example.com', 'user', pg_temp.mark(NULL, 'user') - 'test_session_id', '2023-01-01');  -- the marker without a session

INSERT INTO user_profiles (id, user_id, introduction, created_at)
SELECT id, id, 'I am ' || username, date_joined FROM users WHERE id < 300;
INSERT INTO user_sessions (id, user_id, token, created_at)
SELECT id * 10 + n, id, 'token-' || id || '-' || n, date_joined FROM users, generate_series(1, 2) AS n WHERE id < 300;
INSERT INTO user_balances (user_id, currency, balance) SELECT id, 'usd', id FROM users;

-- 1 to 22 are real, 101 to 112 the first session's, 201 to 205 the second's. A test user's searchable goes with
-- the user, marked or not (110); a marked one goes although its owner is real (111, 112).
INSERT INTO searchables (id, user_id, payloads, created_at)
SELECT n, n + 1, json_build_object('public', json_build_object('title', 'Item ' || n)), '2024-01-01 12:00Z'
FROM generate_series(1, 20) AS n;
INSERT INTO searchables (id, user_id, payloads, created_at) VALUES
    (21, 22, '{"public": {"test_metadata": "integration_test_data"}}', '2024-01-01 12:00Z'),
    (22, 23, '{"public": {"test_metadata": {"test_marker": "load_test_data"}}, "test_metadata": {"test_marker": "integration_test_data"}}', '2024-01-01 12:00Z'),
    (110, 110, '{"public": {"title": "Item 110"}}', '2024-01-01 12:00Z');
INSERT INTO searchables (id, user_id, payloads, created_at)
SELECT n, CASE WHEN n IN (111, 112) THEN n - 109 ELSE n END,
       json_build_object('public', json_build_object('title', 'Item ' || n, 'test_metadata', pg_temp.mark(
           CASE WHEN n < 200 THEN pg_temp.first_session() ELSE pg_temp.second_session() END, 'searchable'))),
       '2024-01-01 12:00Z'
FROM generate_series(101, 205) AS n WHERE n <= 112 AND n <> 110 OR n > 200;

INSERT INTO files (id, searchable_id, uri, metadata)
SELECT id, id, 'http://fileserver.test/uploads/' || md5(id::text), json_build_object('original_filename', id || '.pdf')
FROM searchables WHERE id <= 15 OR id BETWEEN 101 AND 108 OR id BETWEEN 201 AND 204;
INSERT INTO media_uploads (id, searchable_id, mime_type)
SELECT id, id, 'image/png' FROM searchables WHERE id <= 10 OR id BETWEEN 101 AND 106 OR id IN (201, 202);

-- 35 with a part in the first session: its own, with real sellers, with real buyers, of a marked searchable
-- between real users, and with the second session. Six more are the second session's, thirty are real.
INSERT INTO invoices (id, searchable_id, buyer_id, seller_id, amount, created_at)
SELECT 1000 + n, 101 + n % 9, 116 + n % 10, 101 + n % 9, 10, TIMESTAMPTZ '2024-01-01 12:00Z' FROM generate_series(1, 20) AS n
UNION ALL SELECT 1020 + n, n, 115 + n, n + 1, 10, TIMESTAMPTZ '2024-01-01 12:00Z' FROM generate_series(1, 5) AS n
UNION ALL SELECT 1025 + n, 100 + n, 9 + n, 100 + n, 10, TIMESTAMPTZ '2024-01-01 12:00Z' FROM generate_series(1, 5) AS n
UNION ALL SELECT 1030 + n, 111, 14 + n, 2, 10, TIMESTAMPTZ '2024-01-01 12:00Z' FROM generate_series(1, 3) AS n
UNION ALL SELECT 1033 + n, 200 + n, 120 + n, 200 + n, 10, TIMESTAMPTZ '2024-01-01 12:00Z' FROM generate_series(1, 2) AS n
UNION ALL SELECT 1100 + n, 201 + n % 5, 206 + n % 5, 201 + n % 5, 10, TIMESTAMPTZ '2024-01-01 12:00Z' FROM generate_series(1, 6) AS n
UNION ALL SELECT n, 1 + n % 20, 25 + n % 15, 2 + n % 20, 10, TIMESTAMPTZ '2024-01-01 12:00Z' FROM generate_series(1, 30) AS n;

INSERT INTO payments (id, invoice_id, amount, status)
SELECT id, id, amount, (ARRAY['pending', 'complete', 'failed'])[1 + id % 3] FROM invoices;
INSERT INTO invoice_notes (id, invoice_id, user_id, content)
SELECT id, id, buyer_id, 'Thank you' FROM invoices WHERE id % 2 = 0;
INSERT INTO invoice_notes (id, invoice_id, user_id, content) VALUES
    (5001, 1, 101, 'a test user''s note on a real invoice'),
    (5002, 1001, 30, 'a real user''s note on a test invoice');

-- Ratings: three of the first session's own, two by real users, one of a real searchable.
INSERT INTO ratings (id, searchable_id, user_id, rating, review) VALUES
    (101, 101, 116, 5, 'good'), (102, 102, 117, 4, NULL), (103, 103, 118, 0, 'bad'),
    (104, 104, 10, 3.5, 'real'), (105, 105, 11, 2, 'real'), (106, 1, 119, 5, 'of a real one'),
    (201, 203, 206, 4, NULL), (202, 204, 207, 4, NULL);
INSERT INTO ratings (id, searchable_id, user_id, rating) SELECT n, n, 21 + n, 4 FROM generate_series(1, 10) AS n;

-- The third is a real seller's, of the price of a marked searchable.
INSERT INTO withdrawals (id, user_id, invoice_id, amount, status) VALUES
    (101, 101, 1001, 10, 'pending'), (102, 102, NULL, 5, 'complete'), (103, 2, 1031, 10, 'failed'),
    (201, 203, 1102, 10, 'pending');
INSERT INTO withdrawals (id, user_id, invoice_id, amount, status)
SELECT n, n + 2, CASE n % 2 WHEN 0 THEN n END, 10, 'complete' FROM generate_series(1, 8) AS n;

INSERT INTO metrics (id, metric_name, tags, metadata, created_at)
SELECT 1000 + n, 'search', CASE WHEN n <= 110 THEN pg_temp.mark(pg_temp.first_session(), 'metric') END,
       CASE WHEN n > 100 THEN pg_temp.mark(pg_temp.first_session(), 'metric') END, '2024-01-01 12:00Z'
FROM generate_series(1, 150) AS n;
INSERT INTO metrics (id, metric_name, tags, metadata, created_at)
SELECT 2000 + n, 'search', pg_temp.mark(pg_temp.second_session(), 'metric'), '{}', '2024-01-01 12:00Z'
FROM generate_series(1, 30) AS n;
INSERT INTO metrics (id, metric_name, tags, metadata, created_at)
SELECT n, 'view', CASE WHEN n <= 60 THEN '{"source": "web"}'::json END,
       CASE WHEN n > 65 THEN pg_temp.mark(pg_temp.first_session(), 'metric') - 'test_marker'
            WHEN n > 60 THEN '{"test_marker": "load_test_data"}'::jsonb END, '2024-01-01 12:00Z'
FROM generate_series(1, 70) AS n;

SELECT setval(pg_get_serial_sequence('users', 'id'), max(id)) FROM users;
SELECT setval(pg_get_serial_sequence('user_profiles', 'id'), max(id)) FROM user_profiles;
SELECT setval(pg_get_serial_sequence('user_sessions', 'id'), max(id)) FROM user_sessions;
SELECT setval(pg_get_serial_sequence('searchables', 'id'), max(id)) FROM searchables;
SELECT setval(pg_get_serial_sequence('files', 'id'), max(id)) FROM files;
SELECT setval(pg_get_serial_sequence('media_uploads', 'id'), max(id)) FROM media_uploads;
SELECT setval(pg_get_serial_sequence('invoices', 'id'), max(id)) FROM invoices;
SELECT setval(pg_get_serial_sequence('payments', 'id'), max(id)) FROM payments;
SELECT setval(pg_get_serial_sequence('invoice_notes', 'id'), max(id)) FROM invoice_notes;
SELECT setval(pg_get_serial_sequence('ratings', 'id'), max(id)) FROM ratings;
SELECT setval(pg_get_serial_sequence('withdrawals', 'id'), max(id)) FROM withdrawals;
SELECT setval(pg_get_serial_sequence('metrics', 'id'), max(id)) FROM metrics;
