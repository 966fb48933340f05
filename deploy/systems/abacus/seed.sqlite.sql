-- The abacus application's data, for SQLite, the same at every load: 100 accounts, of
-- whom 95 are students, 4 staff and one an admin, with just the numbers of the document's example: 1234
-- practice sessions, 567 paper attempts, 890 badges, 100 lines of the leaderboard.
--
-- Runs inside the caller's transaction.

-- A helper that goes at the end: the numbers from 1 to 1234.
CREATE TABLE numbers (n INTEGER NOT NULL PRIMARY KEY);
INSERT INTO numbers WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 1234)
SELECT n FROM counted;

-- Number 100 is the admin, 96 to 99 are staff. Some students look like test users, and are none.
INSERT INTO users (id, google_id, email, name, display_name, avatar_url, role, total_points, current_streak,
    longest_streak, last_practice_date, total_questions_attempted, last_grace_skip_date, grace_skip_week_start,
    last_daily_login_bonus_date, created_at, updated_at)
SELECT n, 'google-' || n,
       CASE WHEN n = 100 THEN 'admin@abacus.school' WHEN n > 95 THEN 'teacher' || n || '@abacus.school'
            WHEN n = 91 THEN 'meera@test.com.evil.org' WHEN n = 92 THEN 'kabir@test.community'
            WHEN n = 93 THEN 'zoya@evil-test.com' WHEN n % 3 = 0 THEN 'student' || n || '@gmail.com'
            WHEN n % 3 = 1 THEN 'student' || n || '@test.com' ELSE 'student' || n || '@example.com' END,
       'Student ' || n, CASE WHEN n % 4 = 0 THEN NULL ELSE 'S' || n END,
       CASE WHEN n % 5 = 0 THEN NULL ELSE 'https://example.com/' || n || '.png' END,
       CASE WHEN n = 100 THEN 'admin' WHEN n > 95 THEN 'teacher' ELSE 'student' END,
       n * 10, n % 9 + 1, n % 9 + 12, '2025-08-14 17:30:00', n * 25, '2025-08-03 08:00:00', '2025-08-11 00:00:00',
       '2025-08-14', '2025-01-06 09:00:00', '2025-08-14 17:30:00'
FROM numbers WHERE n <= 100;

INSERT INTO leaderboard (id, user_id, total_points, rank, weekly_points, weekly_rank, last_updated)
SELECT n, n, n * 10, 101 - n, n % 50 + 1, n % 50 + 1, '2025-08-14 18:00:00' FROM numbers WHERE n <= 100;

-- What earns points.
INSERT INTO practice_sessions (id, user_id, operation_type, difficulty_mode, total_questions, correct_answers,
    wrong_answers, accuracy, score, time_taken, points_earned, started_at, completed_at)
SELECT n, n % 95 + 1, CASE n % 3 WHEN 0 THEN 'addition' WHEN 1 THEN 'multiplication' ELSE 'mixed' END,
       CASE n % 2 WHEN 0 THEN 'easy' ELSE 'hard' END, 10, 8, 2, 80.0, 80, 61.5, 8, '2025-08-10 17:00:00',
       '2025-08-10 17:02:00'
FROM numbers;

INSERT INTO attempts (id, session_id, question_data, user_answer, correct_answer, is_correct, time_taken,
    question_number, created_at)
SELECT s.n * 2 + q.n - 2, s.n, '{"operands": [' || s.n || ', 7], "sign": "+"}', s.n + 7, s.n + 7, 1 = 1, 4.5, q.n,
       '2025-08-10 17:01:00'
FROM numbers AS s CROSS JOIN numbers AS q WHERE q.n <= 2;

INSERT INTO paper_attempts (id, user_id, paper_title, paper_level, paper_config, generated_blocks, seed,
    total_questions, correct_answers, wrong_answers, accuracy, score, time_taken, points_earned, answers, started_at,
    completed_at)
SELECT n, n % 95 + 1, 'Paper ' || (n % 12 + 1), 'AB-' || (n % 6 + 1), '{"rows": 5}', '[{"type": "sum"}]', n, 20, 15, 5,
       75.0, 75, 300.0, 15, '{"1": 12}', '2025-08-12 10:00:00', '2025-08-12 10:05:00'
FROM numbers WHERE n <= 567;

INSERT INTO rewards (id, user_id, badge_type, badge_name, badge_category, is_lifetime, month_earned, earned_at)
SELECT n, n % 95 + 1, 'streak_' || (n % 7), 'Streak of ' || (n % 7 + 3), 'streak', n % 10 = 0, '2025-08',
       '2025-08-13 12:00:00'
FROM numbers WHERE n <= 890;

-- The ledger, whose sum a user's points are.
INSERT INTO points_logs (id, user_id, points, source_type, source_id, description, extra_data, created_at)
SELECT n, n, n * 10, 'practice', n, 'Practice session', '{"bonus": false}', '2025-08-10 17:02:00'
FROM numbers WHERE n <= 100;

-- The school's.
INSERT INTO papers (id, title, level, config, created_at)
SELECT n, 'Paper ' || n, 'AB-' || (n % 6 + 1), '{"rows": 5, "blocks": 4}', '2025-01-10 09:00:00' FROM numbers WHERE n <= 12;

INSERT INTO student_profiles (id, user_id, public_id, internal_uuid, full_name, display_name, class_name, course,
    level_type, level, branch, status, join_date, finish_date, parent_contact_number, created_at, updated_at)
SELECT n, n, 'TAS-' || (1000 + n), 'uuid-' || n, 'Student ' || n, 'S' || n, 'Class ' || (n % 8 + 1), 'Abacus', 'Regular',
       'Level ' || (n % 10 + 1), CASE n % 2 WHEN 0 THEN 'Rohini-16' ELSE 'Rohini-11' END, 'active',
       '2025-01-06 00:00:00', NULL, '+91 98000 0' || (1000 + n), '2025-01-06 09:00:00', '2025-06-01 09:00:00'
FROM numbers WHERE n <= 95;

INSERT INTO profile_audit_logs (id, profile_id, changed_by_user_id, field_name, old_value, new_value, change_reason,
    created_at)
SELECT n, n, 96 + n % 5, 'level', 'Level 1', 'Level 2', 'Passed', '2025-06-01 09:00:00' FROM numbers WHERE n <= 40;

INSERT INTO class_schedules (id, branch, course, level, batch_name, schedule_days, time_slots, is_active,
    created_by_user_id, created_at, updated_at)
SELECT n, 'Rohini-16', 'Abacus', 'Level ' || n, 'Batch ' || n, '["mon", "thu"]', '{"from": "16:00"}', 1 = 1, 96,
       '2025-01-06 09:00:00', '2025-01-06 09:00:00'
FROM numbers WHERE n <= 6;

INSERT INTO class_sessions (id, schedule_id, session_date, branch, course, level, batch_name, topic, teacher_remarks,
    created_by_user_id, is_completed, created_at, updated_at)
SELECT n, CASE WHEN n % 5 = 0 THEN NULL ELSE n % 6 + 1 END, '2025-07-01 16:00:00', 'Rohini-16', 'Abacus', 'Level 1',
       'Batch 1', 'Carrying', NULL, 97, 1 = 1, '2025-06-30 09:00:00', '2025-07-01 17:00:00'
FROM numbers WHERE n <= 24;

INSERT INTO attendance_records (id, session_id, student_profile_id, status, t_shirt_worn, remarks, marked_by_user_id,
    created_at, updated_at)
SELECT n, n % 24 + 1, n % 95 + 1, CASE n % 9 WHEN 0 THEN 'absent' ELSE 'present' END, n % 2 = 0, NULL, 97,
       '2025-07-01 16:05:00', '2025-07-01 16:05:00'
FROM numbers WHERE n <= 240;

INSERT INTO certificates (id, student_profile_id, title, marks, date_issued, description, issued_by_user_id,
    certificate_file_url, created_at)
SELECT n, n, 'Level ' || n, 91.5, '2025-06-01 00:00:00', NULL, 98, NULL, '2025-06-01 09:00:00' FROM numbers WHERE n <= 30;

INSERT INTO fee_plans (id, name, description, branch, course, level, fee_amount, fee_duration_days, currency, is_active,
    created_by_user_id, created_at, updated_at)
SELECT n, 'Plan ' || n, NULL, 'Rohini-16', 'Abacus', NULL, 1500.0 * n, 30 * n, 'INR', 1 = 1, 99, '2025-01-02 09:00:00',
       '2025-01-02 09:00:00'
FROM numbers WHERE n <= 3;

INSERT INTO fee_assignments (id, student_profile_id, fee_plan_id, custom_fee_amount, discount_amount,
    discount_percentage, effective_fee_amount, start_date, end_date, is_active, assigned_by_user_id, remarks, created_at,
    updated_at)
SELECT n, n, n % 3 + 1, NULL, 0.0, 0.0, 1500.0 * (n % 3 + 1), '2025-01-06 00:00:00', NULL, 1 = 1, 99, NULL,
       '2025-01-06 09:00:00', '2025-01-06 09:00:00'
FROM numbers WHERE n <= 95;

INSERT INTO fee_transactions (id, assignment_id, transaction_type, amount, payment_date, payment_mode,
    reference_number, balance_before, balance_after, remarks, is_partial, created_by_user_id, created_at, updated_at)
SELECT n, n % 95 + 1, 'payment', 500.0, '2025-02-01 00:00:00', 'upi', 'REF-' || n, 1500.0, 1000.0, NULL, 1 = 1, 99,
       '2025-02-01 09:00:00', '2025-02-01 09:00:00'
FROM numbers WHERE n <= 190;

INSERT INTO vacant_ids (id, public_id, original_student_name, deleted_at, deleted_by_user_id, created_at)
SELECT n, 'TAS-' || (900 + n), 'Former ' || n, '2025-05-01 00:00:00', CASE WHEN n % 2 = 0 THEN NULL ELSE 100 END,
       '2025-05-01 00:00:00'
FROM numbers WHERE n <= 6;

DROP TABLE numbers;
