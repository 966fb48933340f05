-- Rows for schema.postgres.sql, the same at every load: the company of the system with its SystemAdmin, two test
-- companies with fixed keys, and a real one.
--
-- Everybody's password is `password`, but for b.ivanov@rafactory.example: that hash looks right and fits nothing.
-- Runs inside the caller's transaction, after the schema.

CREATE FUNCTION pg_temp.key(place int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (lpad(to_hex(place), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.company(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (ARRAY['00000000-0000-4000-8000-000000000001', '11111111-1111-1111-1111-111111111111',
                     '22222222-2222-2222-2222-222222222222', '33333333-3333-4333-8333-333333333333']::uuid[])[n + 1] $$;

INSERT INTO companies (guid, name, short_name, is_active, company_index, subscription_tier, subscription_status, created_at)
VALUES
    (pg_temp.company(0), 'System', 'SYS', true, 1, 'system', 'active', '2025-01-01Z'),
    (pg_temp.company(1), 'Test Company A', 'TCA', true, 90, 'Basic', 'trial', '2025-01-01Z'),
    (pg_temp.company(2), 'Test Company B', 'TCB', true, 91, 'Basic', 'trial', '2025-01-01Z'),
    (pg_temp.company(3), 'Прозорци ООД', 'ПРО', true, 10, 'Pro', 'active', '2025-01-01Z');

INSERT INTO users (guid, company_guid, email, pwd_hash, role, pin, is_active, created_at, name, surname)
SELECT pg_temp.key(1, n), pg_temp.company(company), email, '$2b$12$8JSbTf/GnVFzNVJEIqCqaO3YLH2LNkdZtBPYYJNV5tyWsWsGJhvgi', role, lpad(n::text, 6, '0'), n <> 7,
       '2025-01-01Z', split_part(email, '@', 1), 'Test'
FROM (VALUES
    (1, 0, 'sysadmin@rafactory.example', 'SystemAdmin'),
    (2, 1, 'admin1.a@example.com', 'CompanyAdmin'),
    (3, 2, 'admin1.b@example.com', 'CompanyAdmin'),
    (4, 1, 'operator1.a@example.com', 'Operator'),
    (5, 1, 'operator2.a@example.com', 'Operator'),
    (6, 2, 'operator1.b@example.com', 'Operator'),
    (7, 2, 'operator2.b@example.com', 'Operator'),        -- not active
    (8, 2, 'manager.b@test.com', 'ProjectManager'),
    (9, 0, 'root.qa@example.com', 'SystemAdmin'),         -- at a test domain, but an admin
    (10, 3, 'a.petrov@rafactory.example', 'CompanyAdmin'),
    (11, 3, 'b.ivanov@rafactory.example', 'Operator'),
    (12, 3, 'x@test.com.evil.org', 'Operator'),
    (13, 3, 'bob@test.community', 'Operator'),
    (14, 3, 'ceo@dev.company.com', 'ProjectManager'),
    (15, 3, 'scanner@rafactory.example', 'Integration')
) AS people (n, company, email, role);
UPDATE users SET pwd_hash = '$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234'
WHERE email = 'b.ivanov@rafactory.example';

INSERT INTO api_keys (guid, company_guid, key_hash, description, scopes, is_active, created_at)
SELECT pg_temp.key(2, n), pg_temp.company(n), md5('key' || n), 'scanner', 'workflow:write', true, '2025-01-01Z'
FROM generate_series(1, 3) AS n;
INSERT INTO workstations (guid, company_guid, location, type, is_active, created_at)
SELECT pg_temp.key(3, n), pg_temp.company(1 + n % 3), 'Hall ' || n, (ARRAY['Cutting', 'Welding', 'Quality'])[1 + n / 3 % 3],
       true, '2025-01-01Z'
FROM generate_series(0, 8) AS n;
INSERT INTO ui_templates (company_guid, workstation_guid, name, json_data, created_at)
SELECT company_guid, CASE WHEN type <> 'Quality' THEN guid END, type, '{"buttons": ["start", "stop"]}', '2025-01-01Z'
FROM workstations ORDER BY guid;

-- Two projects of each company, one of them set aside; of those tenants see nothing.
INSERT INTO projects (guid, company_guid, code, in_production, company_name, is_active, deleted_at, created_at)
SELECT pg_temp.key(4, n), company.guid, 'PRJ-' || n, n < 3, company.name, n < 3,
       CASE WHEN n >= 3 THEN TIMESTAMPTZ '2025-02-01Z' END, '2025-01-01Z'
FROM generate_series(0, 5) AS n JOIN companies AS company ON company.guid = pg_temp.company(1 + n % 3);
INSERT INTO components (guid, project_guid, company_guid, code, designation, quantity, picture, is_active, created_at)
SELECT pg_temp.key(5, n), guid, company_guid, 'C-' || n, 'Frame', 4, '\x89504e47', is_active, '2025-01-01Z'
FROM generate_series(0, 17) AS n JOIN projects ON guid = pg_temp.key(4, n % 6);
INSERT INTO assemblies (guid, project_guid, component_guid, company_guid, trolley, cell_number, is_active, created_at)
SELECT pg_temp.key(6, n), project_guid, guid, company_guid, 'T1', n, is_active, '2025-01-01Z'
FROM generate_series(0, 35) AS n JOIN components ON guid = pg_temp.key(5, n % 18);
INSERT INTO pieces (guid, piece_id, project_guid, component_guid, assembly_guid, company_guid, material, outer_length, is_active, created_at)
SELECT pg_temp.key(7, n), 'P-' || n, project_guid, component_guid, CASE WHEN n % 4 > 0 THEN guid END, company_guid,
       'PVC', 800 + n, is_active, '2025-01-01Z'
FROM generate_series(0, 143) AS n JOIN assemblies ON guid = pg_temp.key(6, n % 36);
INSERT INTO articles (guid, code, project_guid, component_guid, company_guid, designation, is_active, created_at)
SELECT pg_temp.key(8, n), 'A-' || n, project_guid, guid, company_guid, 'Handle', is_active, '2025-01-01Z'
FROM generate_series(0, 35) AS n JOIN components ON guid = pg_temp.key(5, n % 18);

-- What everybody did, each kind of action in turn; some of it by a key instead of a user.
INSERT INTO workflow (guid, company_guid, company_name, workstation_guid, workstation_name, api_key_guid, user_guid, user_name,
                      action_type, action_value, created_at)
SELECT pg_temp.key(9, n), person.company_guid, company.name, station.guid, station.location,
       CASE WHEN n % 10 = 0 THEN pg_temp.key(2, 1) END, CASE WHEN n % 10 <> 0 THEN person.guid END,
       CASE WHEN n % 10 <> 0 THEN person.email END,
       (enum_range(NULL::workflowactiontype))[1 + n % 15], 'P-' || n, '2025-03-01Z'
FROM generate_series(0, 299) AS n
JOIN users AS person ON person.guid = pg_temp.key(1, 2 + n % 14)
JOIN companies AS company ON company.guid = person.company_guid
LEFT JOIN workstations AS station ON station.guid = pg_temp.key(3, n % 9) AND station.company_guid = person.company_guid;

INSERT INTO alembic_version VALUES ('b221791c0de0');
