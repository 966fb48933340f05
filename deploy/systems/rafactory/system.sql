-- What a database of Ra Factory cannot be without, put in place after everything else has gone, in the same
-- transaction: the company of the system and its SystemAdmin. Who of the two is there already stays as he is.

INSERT INTO companies (guid, name, short_name, is_active, company_index, subscription_tier, subscription_status)
VALUES ('00000000-0000-4000-8000-000000000001', {{company_name}}, {{company_short_name}}, true, 1, 'system', 'active')
ON CONFLICT DO NOTHING;

INSERT INTO users (guid, company_guid, email, pwd_hash, role, is_active, name, surname)
SELECT '00000001-0000-4000-8000-000000000001', guid, {{admin_email}}, {{admin_hash}}, 'SystemAdmin', true, {{admin_name}},
       {{admin_surname}}
FROM companies WHERE company_index = 1
ON CONFLICT DO NOTHING;
