-- Two users with data, an admin, and what is the system's: the numbers are those of the document's example.
--
-- Users 1 and 2 have made everything that a reset takes; the admin, 3, has written the configuration.

INSERT INTO users (id, username, email, password_hash, role, is_active, email_verified, first_name, created_at, password_reset_token, failed_login_attempts, account_locked)
VALUES
    (1, 'astrid', 'astrid@test.com', '$2b$04$SPMNh7yIJKLTrwQAm6tDeOkVSeXzLC8PcTPSvT5ISn6AfBcGtSCUi', 'REVIEWER', 1, 1, 'Åstrid', '2025-08-01 09:00:00', 'forgotten', 4, 1),
    (2, 'bjorn', 'bjorn@fediverse.example', '$2b$04$SPMNh7yIJKLTrwQAm6tDeOkVSeXzLC8PcTPSvT5ISn6AfBcGtSCUi', 'VIEWER', 1, 1, 'Bjørn', '2025-08-02 09:00:00', NULL, 0, 0);

INSERT INTO platform_connections (id, user_id, name, platform_type, instance_url, username, access_token, client_secret, is_default, created_at)
VALUES
    (1, 1, 'Pixelfed', 'pixelfed', 'https://pixelfed.example', 'astrid', 'gAAAAA-encrypted-1', 'gAAAAA-secret-1', 1, '2025-08-01 10:00:00'),
    (2, 2, 'Mastodon', 'mastodon', 'https://mastodon.example', 'bjorn', 'gAAAAA-encrypted-2', 'gAAAAA-secret-2', 1, '2025-08-02 10:00:00');

INSERT INTO posts (id, post_id, user_id, post_url, post_content, platform_connection_id, created_at)
VALUES
    (1, 'https://example/p/1', 1, 'https://example/p/1', 'Post 1', 1, '2025-09-01 12:00:00'),
    (2, 'https://example/p/2', 1, 'https://example/p/2', 'Post 2', 1, '2025-09-02 12:00:00'),
    (3, 'https://example/p/3', 1, 'https://example/p/3', 'Post 3', 1, '2025-09-03 12:00:00'),
    (4, 'https://example/p/4', 2, 'https://example/p/4', 'Post 4', 2, '2025-09-04 12:00:00'),
    (5, 'https://example/p/5', 2, 'https://example/p/5', 'Post 5', 2, '2025-09-05 12:00:00');

INSERT INTO images (id, post_id, image_url, local_path, attachment_index, image_post_id, platform_connection_id, status, created_at, updated_at, reviewed_at, posted_at)
VALUES
    (1, 1, 'https://cdn.example/1.jpg', 'storage/images/user_1/image_1.jpg', 0, 'media-1', 1, 'PENDING', '2025-09-01 12:00:00', NOW(), NULL, NULL),
    (2, 1, 'https://cdn.example/2.jpg', 'storage/images/user_1/image_2.jpg', 1, 'media-2', 1, 'REVIEWED', '2025-09-01 12:01:00', NOW(), NULL, NULL),
    (3, 2, 'https://cdn.example/3.jpg', 'storage/images/user_1/image_3.jpg', 0, 'media-3', 1, 'APPROVED', '2025-09-02 12:00:00', NOW(), NULL, NULL),
    (4, 2, 'https://cdn.example/4.jpg', 'storage/images/user_1/image_4.jpg', 1, 'media-4', 1, 'REJECTED', '2025-09-02 12:01:00', NOW(), NOW() - INTERVAL 40 DAY, NULL),
    (5, 3, 'https://cdn.example/5.jpg', 'storage/images/user_1/image_5.jpg', 0, 'media-5', 1, 'POSTED', '2025-09-03 12:00:00', NOW(), NULL, NOW() - INTERVAL 10 DAY),
    (6, 3, 'https://cdn.example/6.jpg', 'storage/images/user_1/image_6.jpg', 1, 'media-6', 1, 'ERROR', '2025-09-03 12:01:00', NOW(), NULL, NULL),
    (7, 4, 'https://cdn.example/7.jpg', 'storage/images/user_2/image_7.jpg', 0, 'media-7', 2, 'PENDING', '2025-09-04 12:00:00', NOW(), NULL, NULL),
    (8, 4, 'https://cdn.example/8.jpg', 'storage/images/user_2/image_8.jpg', 1, 'media-8', 2, 'PENDING', '2025-09-04 12:01:00', NOW(), NULL, NULL),
    (9, 5, 'https://cdn.example/9.jpg', 'storage/images/user_2/image_9.jpg', 0, 'media-9', 2, 'APPROVED', '2025-09-05 12:00:00', NOW(), NULL, NULL),
    (10, 5, 'https://cdn.example/10.jpg', 'storage/images/user_2/image_10.jpg', 1, 'media-10', 2, 'REJECTED', '2025-09-05 12:01:00', NOW(), NOW(), NULL);

INSERT INTO processing_runs (id, user_id, batch_id, started_at, completed_at, status, platform_connection_id)
VALUES
    (1, 1, 'batch-1', NOW() - INTERVAL 100 DAY, NOW() - INTERVAL 100 DAY, 'completed', 1),
    (2, 1, 'batch-2', NOW() - INTERVAL 2 DAY, NULL, 'running', 1),
    (3, 2, 'batch-3', NOW() - INTERVAL 1 HOUR, NULL, 'running', 2);

INSERT INTO caption_generation_tasks (id, user_id, platform_connection_id, status, priority, created_at)
VALUES ('7d5f5a3e-0000-4000-8000-000000000001', 1, 1, 'COMPLETED', 'high', '2025-09-01 13:00:00');

INSERT INTO caption_generation_user_settings (id, user_id, platform_connection_id, created_at)
VALUES (1, 1, 1, '2025-08-01 11:00:00');

INSERT INTO user_sessions (id, session_id, user_id, active_platform_id, created_at, updated_at, last_activity, expires_at)
VALUES
    (1, 'sid-astrid-1', 1, 1, NOW(), NOW(), NOW(), NOW() + INTERVAL 2 DAY),
    (2, 'sid-astrid-2', 1, NULL, NOW(), NOW(), NOW(), NOW() + INTERVAL 2 DAY),
    (3, 'sid-bjorn-1', 2, 2, NOW(), NOW(), NOW(), NOW() + INTERVAL 2 DAY),
    (4, 'sid-bjorn-2', 2, NULL, NOW(), NOW(), NOW(), NOW() + INTERVAL 2 DAY);

-- Two of these name no user, and a connection of one all the same.
INSERT INTO job_audit_log (id, task_id, user_id, action, `timestamp`, platform_connection_id)
VALUES
    (1, '7d5f5a3e-0000-4000-8000-000000000001', 1, 'step_1', '2025-09-01 13:01:00', 1),
    (2, '7d5f5a3e-0000-4000-8000-000000000001', 1, 'step_2', '2025-09-01 13:02:00', 1),
    (3, '7d5f5a3e-0000-4000-8000-000000000001', 1, 'step_3', '2025-09-01 13:03:00', NULL),
    (4, NULL, 1, 'step_4', '2025-09-01 13:04:00', NULL),
    (5, NULL, 1, 'step_5', '2025-09-01 13:05:00', NULL),
    (6, NULL, 1, 'step_6', '2025-09-01 13:06:00', NULL),
    (7, NULL, 1, 'step_7', '2025-09-01 13:07:00', NULL),
    (8, NULL, 1, 'step_8', '2025-09-01 13:08:00', NULL),
    (9, NULL, 2, 'step_9', '2025-09-01 13:09:00', NULL),
    (10, NULL, 2, 'step_10', '2025-09-01 13:10:00', NULL),
    (11, NULL, 2, 'step_11', '2025-09-01 13:11:00', NULL),
    (12, NULL, 2, 'step_12', '2025-09-01 13:12:00', NULL),
    (13, NULL, 2, 'step_13', '2025-09-01 13:13:00', NULL),
    (14, NULL, NULL, 'step_14', '2025-09-01 13:14:00', 1),
    (15, NULL, NULL, 'step_15', '2025-09-01 13:15:00', 2);
