-- What a Vedfolnir begins with: one admin, and the default configuration, which is the admin's.

INSERT INTO users (id, username, email, password_hash, role, is_active, email_verified, created_at)
VALUES (1, {{admin_username}}, {{admin_email}}, {{admin_hash}}, 'ADMIN', 1, 1, NOW());

INSERT INTO system_configuration (`key`, `value`, description, data_type, category, updated_by, created_at, updated_at)
VALUES
    ('session_timeout_minutes', '120', 'How long a session may be idle', 'integer', 'security', 1, NOW(), NOW()),
    ('max_login_attempts', '5', 'Failed sign-ins before an account is locked', 'integer', 'security', 1, NOW(), NOW()),
    ('max_concurrent_jobs', '10', 'Caption jobs at a time', 'integer', 'performance', 1, NOW(), NOW()),
    ('default_max_posts_per_run', '50', 'Posts of one run', 'integer', 'limits', 1, NOW(), NOW()),
    ('storage_limit_gb', '10', 'Storage for images', 'float', 'storage', 1, NOW(), NOW()),
    ('maintenance_mode', 'false', 'Whether users are kept out', 'boolean', 'system', 1, NOW(), NOW());
