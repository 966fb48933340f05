-- What is the system's and stays: an admin with configuration, alerts and audits, and the trail of accounts.

INSERT INTO users (id, username, email, password_hash, role, is_active, email_verified, created_at)
VALUES (3, 'freya', 'freya@vedfolnir.example', '$2b$04$SPMNh7yIJKLTrwQAm6tDeOkVSeXzLC8PcTPSvT5ISn6AfBcGtSCUi', 'ADMIN', 1, 1, '2025-07-01 09:00:00');

INSERT INTO system_configuration (id, `key`, `value`, data_type, category, updated_by, created_at)
VALUES
    (1, 'maintenance_mode', 'false', 'boolean', 'system', 3, '2025-07-01 09:00:00'),
    (2, 'storage_limit_gb', '25', 'float', 'storage', 3, '2025-07-01 09:00:00');

INSERT INTO alert_configuration (id, alert_type, metric_name, threshold_value, severity, created_by)
VALUES (1, 'RESOURCE_LOW', 'disk', 90, 'HIGH', 3);

INSERT INTO system_alerts (id, alert_configuration_id, alert_type, severity, title, message, acknowledged_by)
VALUES (1, 1, 'RESOURCE_LOW', 'HIGH', 'Disk', 'The disk is filling up', 2);

INSERT INTO compliance_audits (id, standard, auditor_id, audit_date, overall_score, status)
VALUES (1, 'GDPR', 3, '2025-07-15 09:00:00', 92.5, 'COMPLIANT');

INSERT INTO compliance_requirements (id, audit_id, standard, category, requirement_id, title, status)
VALUES (1, 1, 'GDPR', 'DATA_PROTECTION', 'Art. 17', 'Right to erasure', 'COMPLIANT');

INSERT INTO compliance_metrics (id, standard, category, metric_name, metric_value)
VALUES (1, 'GDPR', 'DATA_PROTECTION', 'erasure_days', 3);

INSERT INTO notifications (id, user_id, type, title, message, `timestamp`)
VALUES
    ('note-1', 1, 'INFO', 'Welcome', 'Hej Åstrid', '2025-08-01 09:00:00'),
    ('note-2', NULL, 'WARNING', 'Maintenance', 'Tonight', '2025-08-02 09:00:00');

INSERT INTO user_audit_log (id, user_id, action, details, admin_user_id)
VALUES (1, 1, 'role_changed', 'VIEWER to REVIEWER', 3), (2, 3, 'sign_in', NULL, NULL);
