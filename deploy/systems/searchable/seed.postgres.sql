-- Rows for schema.postgres.sql with additions.postgres.sql, the same at every load. A clean-up of the first session
-- takes exactly what the document's example shows: 25 users, 12 searchables, 35 invoices, 8 files, 6 ratings,
-- 3 withdrawals, 150 metrics.
--
-- Runs inside the caller's transaction, after both.

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
INSERT INTO users (id, username, email, jwt_auth_active, test_metadata, date_joined)
SELECT n, 'user' || n, 'user' || n || CASE n % 2 WHEN 0 THEN '@gmail.com' ELSE '@outlook.com' END, true, NULL,
       TIMESTAMP '2023-01-01' + n * INTERVAL '1 day'
FROM generate_series(6, 40) AS n;
INSERT INTO users (id, username, email, jwt_auth_active, test_metadata, date_joined)
SELECT n, 'test_user_' || n, 'test_user_' || n || '@example.com', true,
       pg_temp.mark(CASE WHEN n < 200 THEN pg_temp.first_session() ELSE pg_temp.second_session() END, 'user'),
       TIMESTAMP '2024-01-01 12:00'
FROM generate_series(101, 210) AS n WHERE n <= 125 OR n > 200;
INSERT INTO users (id, username, email, jwt_auth_active, test_metadata, date_joined) VALUES
    (1, 'root', 'root@searchable.example', true, NULL, '2023-01-01'),
    (2, 'vera', 'x@test.com.evil.org', true, NULL, '2023-01-01'),
    (3, 'bob', 'bob@test.community', true, NULL, '2023-01-01'),
    (4, 'ceo', 'ceo@dev.company.com', true, NULL, '2023-01-01'),
    (5, 'ana', 'ana@evil-example.com', true, NULL, '2023-01-01'),
    (301, 'qa_admin', 'admin.qa@example.com', true, pg_temp.mark(pg_temp.first_session(), 'user'), '2023-01-01'),  -- marked, but an admin
    (302, 'collector', 'collector@gmail.com', true, pg_temp.mark(pg_temp.first_session(), 'user'), '2023-01-01'),  -- marked, but at a real address
    (303, 'other', 'other@example.com', true, pg_temp.mark(pg_temp.first_session(), 'user') || '{"test_marker": "load_test_data"}', '2023-01-01'),  -- another marker
    (304, 'unmarked', 'unmarked@example.com', true, pg_temp.mark(pg_temp.first_session(), 'user') - 'test_marker', '2023-01-01'),  -- the session without the marker
    (305, 'plain', 'plain@example.com', true, NULL, '2023-01-01'),  -- a test user whom no test has marked
    (306, 'nobody', 'nobody@example.com', true, pg_temp.mark(NULL, 'user') - 'test_session_id', '2023-01-01');  -- the marker without a session

INSERT INTO user_profile (id, user_id, username, metadata, created_at)
SELECT id, id, username, '{}', date_joined FROM users WHERE id < 300;
INSERT INTO terminal (terminal_id, terminal_data) SELECT id, jsonb_build_object('name', username) FROM users;
INSERT INTO kv (type, pkey, fkey, data) SELECT 'setting', id::text, 'theme', '{"dark": true}' FROM users WHERE id < 300;
INSERT INTO feedback (id, user_id, content) SELECT id, id, 'fine' FROM users WHERE id % 5 = 0;

-- Revoked tokens of anybody's; patterns of test users' ids, such as %101%, match many of them.
INSERT INTO jwt_token_blocklist (id, jwt_token, created_at)
SELECT n, 'eyJhbGciOiJIUzI1NiJ9.' || md5(n::text) || (100 + n) || '.c2ln', '2024-01-01' FROM generate_series(1, 40) AS n;

-- 1 to 22 are real, 101 to 112 the first session's, 201 to 205 the second's. A test user's searchable goes with
-- the user, marked or not (110); a marked one goes although its owner is real (111, 112).
INSERT INTO searchables (searchable_id, terminal_id, type, searchable_data)
SELECT n, n + 1, 'offline', jsonb_build_object('payloads', jsonb_build_object('public', jsonb_build_object(
           'title', 'Item ' || n, 'downloadableFiles', jsonb_build_array(jsonb_build_object('fileId', n)))))
FROM generate_series(1, 20) AS n;
INSERT INTO searchables (searchable_id, terminal_id, type, searchable_data) VALUES
    (21, 22, 'offline', '{"payloads": {"public": {"test_metadata": "integration_test_data"}}}'),
    (22, 23, 'offline', '{"payloads": {"public": {"test_metadata": {"test_marker": "load_test_data"}}}, "test_metadata": {"test_marker": "integration_test_data"}}'),
    (110, 110, 'offline', '{"payloads": {"public": {"title": "Item 110"}}, "removed": true}');
INSERT INTO searchables (searchable_id, terminal_id, type, searchable_data)
SELECT n, CASE WHEN n IN (111, 112) THEN n - 109 ELSE n END, 'online',
       jsonb_build_object('payloads', jsonb_build_object('public', jsonb_build_object(
           'title', 'Item ' || n, 'downloadableFiles', jsonb_build_array(jsonb_build_object('fileId', n)),
           'test_metadata', pg_temp.mark(
               CASE WHEN n < 200 THEN pg_temp.first_session() ELSE pg_temp.second_session() END, 'searchable'))))
FROM generate_series(101, 205) AS n WHERE n <= 112 AND n <> 110 OR n > 200;
INSERT INTO tags (id, name) VALUES (1, 'music'), (2, 'books'), (3, 'art');
INSERT INTO searchable_tags (searchable_id, tag_id) SELECT searchable_id, 1 + searchable_id % 3 FROM searchables;

-- Files 16 and 108 are the same bytes on the file server: a real user's and a test user's.
INSERT INTO files (file_id, uri, metadata)
SELECT n, 'http://fileserver.test/uploads/' || md5(CASE n WHEN 16 THEN '108' ELSE n::text END),
       jsonb_build_object('user_id', CASE WHEN n < 100 THEN n + 1 ELSE n END, 'original_filename', n || '.pdf')
FROM generate_series(1, 204) AS n WHERE n <= 16 OR n BETWEEN 101 AND 108 OR n > 200;
INSERT INTO files (file_id, uri, metadata) VALUES
    (17, 'http://fileserver.test/uploads/nobodys', '{"original_filename": "nobodys.pdf"}');
-- Test users buy from each other and from real users; real users buy a test user's file.
INSERT INTO purchases (purchase_id, user_id, file_id, created_at, metadata) VALUES
    (1, 30, 1, '2024-01-01', '{}'), (2, 31, 2, '2024-01-01', '{}'), (101, 116, 101, '2024-01-01', '{}'),
    (102, 117, 3, '2024-01-01', '{}'), (103, 32, 102, '2024-01-01', '{}'), (201, 206, 201, '2024-01-01', '{}');

-- 35 with a part in the first session: its own, with real sellers, with real buyers, of a marked searchable
-- between real users, and with the second session. Six more are the second session's, thirty are real.
INSERT INTO invoice (id, searchable_id, buyer_id, seller_id, amount, currency, type, external_id, created_at, metadata)
SELECT i.id, i.searchable_id, i.buyer_id, i.seller_id, 10, 'usd', 'stripe', 'in_' || i.id, '2024-01-01 12:00Z', '{}' FROM (
SELECT 1000 + n, 101 + n % 9, 116 + n % 10, 101 + n % 9 FROM generate_series(1, 20) AS n
UNION ALL SELECT 1020 + n, n, 115 + n, n + 1 FROM generate_series(1, 5) AS n
UNION ALL SELECT 1025 + n, 100 + n, 9 + n, 100 + n FROM generate_series(1, 5) AS n
UNION ALL SELECT 1030 + n, 111, 14 + n, 2 FROM generate_series(1, 3) AS n
UNION ALL SELECT 1033 + n, 200 + n, 120 + n, 200 + n FROM generate_series(1, 2) AS n
UNION ALL SELECT 1100 + n, 201 + n % 5, 206 + n % 5, 201 + n % 5 FROM generate_series(1, 6) AS n
UNION ALL SELECT n, 1 + n % 20, 25 + n % 15, 2 + n % 20 FROM generate_series(1, 30) AS n
) AS i (id, searchable_id, buyer_id, seller_id);

INSERT INTO payment (id, invoice_id, amount, currency, type, external_id, status, created_at, metadata)
SELECT id, id, amount, currency, type, 'pi_' || id, (ARRAY['pending', 'complete', 'failed'])[1 + id % 3], created_at, '{}'
FROM invoice;
INSERT INTO invoice_note (id, invoice_id, user_id, buyer_seller, content, metadata, created_at)
SELECT id, id, buyer_id, 'buyer', 'Thank you', '{}', created_at FROM invoice WHERE id % 2 = 0;
INSERT INTO invoice_note (id, invoice_id, user_id, buyer_seller, content, metadata) VALUES
    (5001, 1, 101, 'buyer', 'a test user''s note on a real invoice', '{}'),
    (5002, 1001, 30, 'buyer', 'a real user''s note on a test invoice', '{}');

-- Ratings: four by test users, one of them of a real seller, and two by real users of test sellers.
INSERT INTO rating (id, invoice_id, user_id, rating, review, metadata, created_at)
SELECT id, id, buyer_id, id % 6, 'so it was', '{}', created_at FROM invoice
WHERE id IN (1001, 1002, 1003, 1021, 1026, 1027, 1101, 1102) OR id <= 10;

INSERT INTO withdrawal (id, user_id, amount, currency, type, status, created_at, metadata)
SELECT id, CASE WHEN id < 100 THEN id + 2 ELSE id END, 10, 'usd', 'bank_transfer', 'complete', '2024-01-01 12:00Z', '{}'
FROM generate_series(1, 203) AS id WHERE id <= 8 OR id BETWEEN 101 AND 103 OR id = 203;

-- A metric has its first four tags as key:value texts. The last 10 of the first session's are marked twice.
INSERT INTO metrics (event_id, metric_name, tag1, tag2, tag3, created_at, metadata)
SELECT 1000 + n, 'search', 'source:tests',
       CASE WHEN n <= 110 THEN 'test_marker:integration_test_data' END,
       CASE WHEN n <= 110 THEN 'test_session_id:' || pg_temp.first_session() END, '2024-01-01 12:00Z',
       CASE WHEN n > 100 THEN pg_temp.mark(pg_temp.first_session(), 'metric') ELSE '{}' END
FROM generate_series(1, 150) AS n;
INSERT INTO metrics (event_id, metric_name, tag1, tag4, created_at, metadata)
SELECT 2000 + n, 'search', 'test_session_id:' || pg_temp.second_session(), 'test_marker:integration_test_data',
       '2024-01-01 12:00Z', '{}'
FROM generate_series(1, 30) AS n;
INSERT INTO metrics (event_id, metric_name, tag1, tag2, created_at, metadata)
SELECT n, 'view', 'source:web',
       CASE WHEN n > 65 THEN 'test_session_id:' || pg_temp.first_session()
            WHEN n > 60 THEN 'test_marker:integration_test_data_2' END, '2024-01-01 12:00Z', '{}'
FROM generate_series(1, 70) AS n;

SELECT setval(pg_get_serial_sequence('users', 'id'), max(id)) FROM users;
SELECT setval(pg_get_serial_sequence('user_profile', 'id'), max(id)) FROM user_profile;
SELECT setval(pg_get_serial_sequence('terminal', 'terminal_id'), max(terminal_id)) FROM terminal;
SELECT setval(pg_get_serial_sequence('feedback', 'id'), max(id)) FROM feedback;
SELECT setval(pg_get_serial_sequence('jwt_token_blocklist', 'id'), max(id)) FROM jwt_token_blocklist;
SELECT setval(pg_get_serial_sequence('searchables', 'searchable_id'), max(searchable_id)) FROM searchables;
SELECT setval(pg_get_serial_sequence('tags', 'id'), max(id)) FROM tags;
SELECT setval(pg_get_serial_sequence('files', 'file_id'), max(file_id)) FROM files;
SELECT setval(pg_get_serial_sequence('purchases', 'purchase_id'), max(purchase_id)) FROM purchases;
SELECT setval(pg_get_serial_sequence('invoice', 'id'), max(id)) FROM invoice;
SELECT setval(pg_get_serial_sequence('payment', 'id'), max(id)) FROM payment;
SELECT setval(pg_get_serial_sequence('invoice_note', 'id'), max(id)) FROM invoice_note;
SELECT setval(pg_get_serial_sequence('rating', 'id'), max(id)) FROM rating;
SELECT setval(pg_get_serial_sequence('withdrawal', 'id'), max(id)) FROM withdrawal;
SELECT setval(pg_get_serial_sequence('metrics', 'event_id'), max(event_id)) FROM metrics;
