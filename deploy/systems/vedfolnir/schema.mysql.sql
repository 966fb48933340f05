-- Vedfolnir's schema for MySQL 8 and MariaDB: the 20 tables of its models, InnoDB, utf8mb4.
--
-- Creating a table commits there, so this does not run inside a transaction.

CREATE TABLE compliance_metrics (
    id               INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    standard         ENUM ('OWASP_ASVS', 'CWE_COVERAGE', 'ISO_27001', 'SOC2', 'GDPR', 'HIPAA', 'PCI_DSS',
                          'NIST_800_53') NOT NULL,
    category         ENUM ('ACCESS_CONTROL', 'APPLICATION_SECURITY', 'DATA_PROTECTION', 'AUDIT_LOGGING',
                          'INCIDENT_RESPONSE', 'NETWORK_SECURITY', 'PHYSICAL_SECURITY') NOT NULL,
    metric_name      VARCHAR(200) NOT NULL,
    metric_value     FLOAT NOT NULL,
    target_value     FLOAT DEFAULT 100.0,
    unit             VARCHAR(50) DEFAULT 'percentage',
    calculation_date DATETIME,
    data_source      VARCHAR(100),
    is_automated     TINYINT(1) DEFAULT 0,
    confidence_score FLOAT DEFAULT 1.0,
    metric_metadata  TEXT,
    created_at       DATETIME
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE users (
    id                           INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    username                     VARCHAR(64) NOT NULL UNIQUE,
    email                        VARCHAR(120) NOT NULL UNIQUE,
    password_hash                VARCHAR(256) NOT NULL,
    role                         ENUM ('ADMIN', 'MODERATOR', 'REVIEWER', 'VIEWER') DEFAULT 'VIEWER',
    is_active                    TINYINT(1) DEFAULT 1,
    created_at                   DATETIME,
    last_login                   DATETIME,
    email_verified               TINYINT(1) DEFAULT 0,
    email_verification_token     VARCHAR(255),
    email_verification_sent_at   DATETIME,
    first_name                   VARCHAR(100),
    last_name                    VARCHAR(100),
    password_reset_token         VARCHAR(255),
    password_reset_sent_at       DATETIME,
    password_reset_used          TINYINT(1) DEFAULT 0,
    data_processing_consent      TINYINT(1) DEFAULT 0,
    data_processing_consent_date DATETIME,
    account_locked               TINYINT(1) DEFAULT 0,
    failed_login_attempts        INTEGER DEFAULT 0,
    last_failed_login            DATETIME
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE alert_configuration (
    id                    INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    alert_type            ENUM ('SYSTEM_ERROR', 'RESOURCE_WARNING', 'JOB_FAILURE', 'REPEATED_FAILURES',
                          'RESOURCE_LOW', 'AI_SERVICE_DOWN', 'QUEUE_BACKUP', 'USER_ISSUE',
                                                'PERFORMANCE_DEGRADATION', 'SECURITY_ALERT') NOT NULL,
    metric_name           VARCHAR(100) NOT NULL,
    threshold_value       FLOAT NOT NULL,
    threshold_operator    VARCHAR(10) DEFAULT '>',
    threshold_unit        VARCHAR(20),
    severity              ENUM ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL') DEFAULT 'MEDIUM',
    enabled               TINYINT(1) DEFAULT 1,
    notification_channels TEXT,
    notification_template TEXT,
    cooldown_minutes      INTEGER DEFAULT 60,
    escalation_minutes    INTEGER DEFAULT 0,
    description           TEXT,
    created_by            INTEGER NOT NULL,
    created_at            DATETIME,
    updated_at            DATETIME,
    last_triggered        DATETIME,
    trigger_count         INTEGER DEFAULT 0,
    FOREIGN KEY (created_by) REFERENCES users (id),
    UNIQUE (alert_type, metric_name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE compliance_audits (
    id                INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    standard          ENUM ('OWASP_ASVS', 'CWE_COVERAGE', 'ISO_27001', 'SOC2', 'GDPR', 'HIPAA', 'PCI_DSS',
                          'NIST_800_53') NOT NULL,
    auditor_id        INTEGER NOT NULL,
    audit_date        DATETIME NOT NULL,
    overall_score     FLOAT NOT NULL,
    status            ENUM ('COMPLIANT', 'PARTIALLY_COMPLIANT', 'NON_COMPLIANT', 'NOT_ASSESSED') NOT NULL,
    findings_count    INTEGER DEFAULT 0,
    critical_findings INTEGER DEFAULT 0,
    high_findings     INTEGER DEFAULT 0,
    medium_findings   INTEGER DEFAULT 0,
    low_findings      INTEGER DEFAULT 0,
    scope             TEXT,
    methodology       TEXT,
    findings          TEXT,
    recommendations   TEXT,
    next_audit_date   DATETIME,
    created_at        DATETIME,
    updated_at        DATETIME,
    FOREIGN KEY (auditor_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE compliance_requirements (
    id                     INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    audit_id               INTEGER NOT NULL,
    standard               ENUM ('OWASP_ASVS', 'CWE_COVERAGE', 'ISO_27001', 'SOC2', 'GDPR', 'HIPAA', 'PCI_DSS',
                          'NIST_800_53') NOT NULL,
    category               ENUM ('ACCESS_CONTROL', 'APPLICATION_SECURITY', 'DATA_PROTECTION', 'AUDIT_LOGGING',
                          'INCIDENT_RESPONSE', 'NETWORK_SECURITY', 'PHYSICAL_SECURITY') NOT NULL,
    requirement_id         VARCHAR(100) NOT NULL,
    title                  VARCHAR(200) NOT NULL,
    description            TEXT,
    status                 ENUM ('COMPLIANT', 'PARTIALLY_COMPLIANT', 'NON_COMPLIANT', 'NOT_ASSESSED') NOT NULL,
    score                  FLOAT DEFAULT 0.0,
    is_critical            TINYINT(1) DEFAULT 0,
    implementation_details TEXT,
    test_methodology       TEXT,
    evidence               TEXT,
    notes                  TEXT,
    created_at             DATETIME,
    updated_at             DATETIME,
    FOREIGN KEY (audit_id) REFERENCES compliance_audits (id),
    UNIQUE (audit_id, requirement_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE gdpr_audit_log (
    id             INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id        INTEGER,
    action_type    VARCHAR(50) NOT NULL,
    gdpr_article   VARCHAR(20),
    action_details TEXT,
    request_data   TEXT,
    response_data  TEXT,
    status         VARCHAR(20) DEFAULT 'pending',
    ip_address     VARCHAR(45),
    user_agent     TEXT,
    created_at     DATETIME,
    completed_at   DATETIME,
    admin_user_id  INTEGER,
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (admin_user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE notifications (
    id              VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id         INTEGER,
    type            ENUM ('SUCCESS', 'WARNING', 'ERROR', 'INFO', 'PROGRESS') NOT NULL,
    priority        ENUM ('LOW', 'NORMAL', 'HIGH', 'CRITICAL') NOT NULL DEFAULT 'NORMAL',
    category        ENUM ('SYSTEM', 'CAPTION', 'PLATFORM', 'MAINTENANCE', 'SECURITY', 'USER', 'ADMIN', 'STORAGE',
                          'DASHBOARD', 'MONITORING', 'PERFORMANCE', 'HEALTH') NOT NULL DEFAULT 'SYSTEM',
    title           VARCHAR(255) NOT NULL,
    message         TEXT NOT NULL,
    data            TEXT,
    `timestamp`     DATETIME NOT NULL,
    expires_at      DATETIME,
    requires_action TINYINT(1) DEFAULT 0,
    action_url      VARCHAR(500),
    action_text     VARCHAR(100),
    delivered       TINYINT(1) DEFAULT 0,
    `read`          TINYINT(1) DEFAULT 0,
    created_at      DATETIME,
    updated_at      DATETIME,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Accounts elsewhere, with credentials that the application has encrypted.
CREATE TABLE platform_connections (
    id            INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id       INTEGER NOT NULL,
    name          VARCHAR(100) NOT NULL,
    platform_type VARCHAR(50) NOT NULL,
    instance_url  VARCHAR(500) NOT NULL,
    username      VARCHAR(200),
    access_token  TEXT NOT NULL,
    client_key    TEXT,
    client_secret TEXT,
    is_active     TINYINT(1) DEFAULT 1,
    is_default    TINYINT(1) DEFAULT 0,
    created_at    DATETIME,
    updated_at    DATETIME,
    last_used     DATETIME,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    UNIQUE (user_id, name),
    UNIQUE (user_id, instance_url, username)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- The labels of `priority` are stored in lower case, those of every other enum in upper case.
CREATE TABLE caption_generation_tasks (
    id                     VARCHAR(36) NOT NULL PRIMARY KEY,
    user_id                INTEGER NOT NULL,
    platform_connection_id INTEGER NOT NULL,
    status                 ENUM ('QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED') DEFAULT 'QUEUED',
    settings_json          TEXT,
    created_at             DATETIME,
    started_at             DATETIME,
    completed_at           DATETIME,
    error_message          TEXT,
    results_json           TEXT,
    progress_percent       INTEGER DEFAULT 0,
    current_step           VARCHAR(200),
    priority               ENUM ('low', 'normal', 'high', 'urgent') DEFAULT 'normal',
    admin_notes            TEXT,
    cancelled_by_admin     TINYINT(1) DEFAULT 0,
    admin_user_id          INTEGER,
    cancellation_reason    VARCHAR(500),
    retry_count            INTEGER DEFAULT 0,
    max_retries            INTEGER DEFAULT 3,
    resource_usage         TEXT,
    admin_managed          TINYINT(1) DEFAULT 0,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (platform_connection_id) REFERENCES platform_connections (id) ON DELETE CASCADE,
    FOREIGN KEY (admin_user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE caption_generation_user_settings (
    id                     INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id                INTEGER NOT NULL,
    platform_connection_id INTEGER NOT NULL,
    max_posts_per_run      INTEGER DEFAULT 50,
    max_caption_length     INTEGER DEFAULT 500,
    optimal_min_length     INTEGER DEFAULT 80,
    optimal_max_length     INTEGER DEFAULT 200,
    reprocess_existing     TINYINT(1) DEFAULT 0,
    processing_delay       FLOAT DEFAULT 1.0,
    created_at             DATETIME,
    updated_at             DATETIME,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (platform_connection_id) REFERENCES platform_connections (id) ON DELETE CASCADE,
    UNIQUE (user_id, platform_connection_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- platform_connection_id has no action either, and a row need not belong to a user.
CREATE TABLE job_audit_log (
    id                     INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    task_id                VARCHAR(36),
    user_id                INTEGER,
    admin_user_id          INTEGER,
    action                 VARCHAR(50) NOT NULL,
    details                TEXT,
    `timestamp`            DATETIME,
    ip_address             VARCHAR(45),
    user_agent             VARCHAR(500),
    session_id             VARCHAR(255),
    platform_connection_id INTEGER,
    previous_status        VARCHAR(50),
    new_status             VARCHAR(50),
    error_code             VARCHAR(50),
    processing_time_ms     INTEGER,
    FOREIGN KEY (task_id) REFERENCES caption_generation_tasks (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (admin_user_id) REFERENCES users (id),
    FOREIGN KEY (platform_connection_id) REFERENCES platform_connections (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE posts (
    id                     INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    post_id                VARCHAR(500) NOT NULL,
    user_id                INTEGER NOT NULL,
    post_url               VARCHAR(500) NOT NULL,
    post_content           TEXT,
    created_at             DATETIME,
    updated_at             DATETIME,
    platform_connection_id INTEGER,
    platform_type          VARCHAR(50),
    instance_url           VARCHAR(500),
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (platform_connection_id) REFERENCES platform_connections (id) ON DELETE CASCADE,
    UNIQUE (post_id, platform_connection_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- local_path is a path below the working folder, as the application wrote it.
CREATE TABLE images (
    id                     INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    post_id                INTEGER NOT NULL,
    image_url              TEXT NOT NULL,
    local_path             VARCHAR(500) NOT NULL,
    original_filename      VARCHAR(200),
    media_type             VARCHAR(100),
    image_post_id          VARCHAR(100),
    attachment_index       INTEGER NOT NULL,
    platform_connection_id INTEGER,
    platform_type          VARCHAR(50),
    instance_url           VARCHAR(500),
    original_caption       TEXT,
    generated_caption      TEXT,
    reviewed_caption       TEXT,
    final_caption          TEXT,
    image_category         VARCHAR(50),
    prompt_used            TEXT,
    status                 ENUM ('PENDING', 'REVIEWED', 'APPROVED', 'REJECTED', 'POSTED',
                          'ERROR') DEFAULT 'PENDING',
    created_at             DATETIME,
    updated_at             DATETIME,
    reviewed_at            DATETIME,
    posted_at              DATETIME,
    original_post_date     DATETIME,
    reviewer_notes         TEXT,
    processing_error       TEXT,
    caption_quality_score  INTEGER,
    needs_special_review   TINYINT(1) DEFAULT 0,
    FOREIGN KEY (post_id) REFERENCES posts (id) ON DELETE CASCADE,
    FOREIGN KEY (platform_connection_id) REFERENCES platform_connections (id) ON DELETE CASCADE,
    UNIQUE (image_post_id, platform_connection_id),
    UNIQUE (post_id, attachment_index)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE processing_runs (
    id                     INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id                INTEGER NOT NULL,
    batch_id               VARCHAR(200),
    started_at             DATETIME,
    completed_at           DATETIME,
    posts_processed        INTEGER DEFAULT 0,
    images_processed       INTEGER DEFAULT 0,
    captions_generated     INTEGER DEFAULT 0,
    errors_count           INTEGER DEFAULT 0,
    status                 VARCHAR(50) DEFAULT 'running',
    platform_connection_id INTEGER,
    platform_type          VARCHAR(50),
    instance_url           VARCHAR(500),
    retry_attempts         INTEGER DEFAULT 0,
    retry_successes        INTEGER DEFAULT 0,
    retry_failures         INTEGER DEFAULT 0,
    retry_total_time       INTEGER DEFAULT 0,
    retry_stats_json       TEXT,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (platform_connection_id) REFERENCES platform_connections (id) ON DELETE CASCADE,
    UNIQUE (batch_id, platform_connection_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE storage_overrides (
    id                       INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    admin_user_id            INTEGER NOT NULL,
    activated_at             DATETIME NOT NULL,
    expires_at               DATETIME NOT NULL,
    duration_hours           INTEGER NOT NULL,
    reason                   VARCHAR(500),
    is_active                TINYINT(1) NOT NULL DEFAULT 1,
    deactivated_at           DATETIME,
    deactivated_by_user_id   INTEGER,
    storage_gb_at_activation FLOAT,
    limit_gb_at_activation   FLOAT,
    FOREIGN KEY (admin_user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (deactivated_by_user_id) REFERENCES users (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE storage_event_log (
    id                  INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_type          VARCHAR(50) NOT NULL,
    storage_gb          FLOAT NOT NULL,
    limit_gb            FLOAT NOT NULL,
    usage_percentage    FLOAT,
    user_id             INTEGER,
    `timestamp`         DATETIME NOT NULL,
    details             TEXT,
    storage_override_id INTEGER,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (storage_override_id) REFERENCES storage_overrides (id) ON DELETE SET NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE system_alerts (
    id                     INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    alert_configuration_id INTEGER NOT NULL,
    alert_type             ENUM ('SYSTEM_ERROR', 'RESOURCE_WARNING', 'JOB_FAILURE', 'REPEATED_FAILURES',
                          'RESOURCE_LOW', 'AI_SERVICE_DOWN', 'QUEUE_BACKUP', 'USER_ISSUE',
                                                'PERFORMANCE_DEGRADATION', 'SECURITY_ALERT') NOT NULL,
    severity               ENUM ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL') NOT NULL,
    status                 VARCHAR(20) DEFAULT 'active',
    title                  VARCHAR(200) NOT NULL,
    message                TEXT NOT NULL,
    metric_value           FLOAT,
    context_data           TEXT,
    created_at             DATETIME,
    acknowledged_at        DATETIME,
    resolved_at            DATETIME,
    acknowledged_by        INTEGER,
    resolved_by            INTEGER,
    acknowledgment_note    TEXT,
    resolution_note        TEXT,
    notifications_sent     TEXT,
    last_notification_sent DATETIME,
    notification_count     INTEGER DEFAULT 0,
    FOREIGN KEY (alert_configuration_id) REFERENCES alert_configuration (id),
    FOREIGN KEY (acknowledged_by) REFERENCES users (id),
    FOREIGN KEY (resolved_by) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE system_configuration (
    id           INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    `key`        VARCHAR(100) NOT NULL UNIQUE,
    `value`      TEXT,
    description  TEXT,
    data_type    VARCHAR(20) DEFAULT 'string',
    is_sensitive TINYINT(1) DEFAULT 0,
    category     VARCHAR(50),
    updated_by   INTEGER NOT NULL,
    updated_at   DATETIME,
    created_at   DATETIME,
    FOREIGN KEY (updated_by) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE user_audit_log (
    id            INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id       INTEGER,
    action        VARCHAR(100) NOT NULL,
    details       TEXT,
    ip_address    VARCHAR(45),
    user_agent    TEXT,
    created_at    DATETIME,
    admin_user_id INTEGER,
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (admin_user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- active_platform_id has no action: it keeps a connection from going while a session uses it.
CREATE TABLE user_sessions (
    id                  INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY,
    session_id          VARCHAR(255) NOT NULL UNIQUE,
    user_id             INTEGER NOT NULL,
    active_platform_id  INTEGER,
    created_at          DATETIME NOT NULL,
    updated_at          DATETIME NOT NULL,
    last_activity       DATETIME NOT NULL,
    expires_at          DATETIME NOT NULL,
    is_active           TINYINT(1) NOT NULL DEFAULT 1,
    session_fingerprint TEXT,
    user_agent          TEXT,
    ip_address          VARCHAR(45),
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (active_platform_id) REFERENCES platform_connections (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
