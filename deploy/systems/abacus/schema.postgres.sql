-- The abacus application's schema for PostgreSQL: the 18 tables of its models, as schema.sqlite.sql has them in
-- SQLite's words. No foreign key has an action.
--
-- Runs inside the caller's transaction.

-- Exercise papers; nobody owns one.
CREATE TABLE papers (
    id         SERIAL PRIMARY KEY,
    title      VARCHAR NOT NULL,
    level      VARCHAR NOT NULL,
    config     JSON NOT NULL,
    created_at TIMESTAMP
);

-- An account signs in with Google; what it has earned stands beside it.
CREATE TABLE users (
    id                          SERIAL PRIMARY KEY,
    google_id                   VARCHAR NOT NULL UNIQUE,
    email                       VARCHAR NOT NULL UNIQUE,
    name                        VARCHAR NOT NULL,
    display_name                VARCHAR,
    avatar_url                  VARCHAR,
    role                        VARCHAR NOT NULL DEFAULT 'student',
    total_points                INTEGER NOT NULL DEFAULT 0,
    current_streak              INTEGER NOT NULL DEFAULT 0,
    longest_streak              INTEGER NOT NULL DEFAULT 0,
    last_practice_date          TIMESTAMP,
    total_questions_attempted   INTEGER NOT NULL DEFAULT 0,
    last_grace_skip_date        TIMESTAMP,
    grace_skip_week_start       TIMESTAMP,
    last_daily_login_bonus_date DATE,
    created_at                  TIMESTAMP,
    updated_at                  TIMESTAMP
);

CREATE TABLE class_schedules (
    id                 SERIAL PRIMARY KEY,
    branch             VARCHAR NOT NULL,
    course             VARCHAR,
    level              VARCHAR,
    batch_name         VARCHAR,
    schedule_days      JSON NOT NULL,
    time_slots         JSON,
    is_active          BOOLEAN NOT NULL DEFAULT TRUE,
    created_by_user_id INTEGER NOT NULL REFERENCES users (id),
    created_at         TIMESTAMP,
    updated_at         TIMESTAMP
);
CREATE INDEX class_schedules_created_by_user_id ON class_schedules (created_by_user_id);

CREATE TABLE class_sessions (
    id                 SERIAL PRIMARY KEY,
    schedule_id        INTEGER REFERENCES class_schedules (id),
    session_date       TIMESTAMP NOT NULL,
    branch             VARCHAR NOT NULL,
    course             VARCHAR,
    level              VARCHAR,
    batch_name         VARCHAR,
    topic              VARCHAR,
    teacher_remarks    TEXT,
    created_by_user_id INTEGER NOT NULL REFERENCES users (id),
    is_completed       BOOLEAN NOT NULL DEFAULT FALSE,
    created_at         TIMESTAMP,
    updated_at         TIMESTAMP
);
CREATE INDEX class_sessions_schedule_id ON class_sessions (schedule_id);
CREATE INDEX class_sessions_created_by_user_id ON class_sessions (created_by_user_id);

CREATE TABLE fee_plans (
    id                 SERIAL PRIMARY KEY,
    name               VARCHAR NOT NULL,
    description        TEXT,
    branch             VARCHAR,
    course             VARCHAR,
    level              VARCHAR,
    fee_amount         DOUBLE PRECISION NOT NULL,
    fee_duration_days  INTEGER NOT NULL,
    currency           VARCHAR NOT NULL DEFAULT 'INR',
    is_active          BOOLEAN NOT NULL DEFAULT TRUE,
    created_by_user_id INTEGER NOT NULL REFERENCES users (id),
    created_at         TIMESTAMP,
    updated_at         TIMESTAMP
);
CREATE INDEX fee_plans_created_by_user_id ON fee_plans (created_by_user_id);

-- One line for each account that has ever scored.
CREATE TABLE leaderboard (
    id            SERIAL PRIMARY KEY,
    user_id       INTEGER NOT NULL UNIQUE REFERENCES users (id),
    total_points  INTEGER NOT NULL DEFAULT 0,
    rank          INTEGER,
    weekly_points INTEGER NOT NULL DEFAULT 0,
    weekly_rank   INTEGER,
    last_updated  TIMESTAMP
);

-- A paper as one student did it.
CREATE TABLE paper_attempts (
    id               SERIAL PRIMARY KEY,
    user_id          INTEGER NOT NULL REFERENCES users (id),
    paper_title      VARCHAR NOT NULL,
    paper_level      VARCHAR NOT NULL,
    paper_config     JSON NOT NULL,
    generated_blocks JSON NOT NULL,
    seed             INTEGER NOT NULL,
    total_questions  INTEGER NOT NULL,
    correct_answers  INTEGER NOT NULL DEFAULT 0,
    wrong_answers    INTEGER NOT NULL DEFAULT 0,
    accuracy         DOUBLE PRECISION NOT NULL DEFAULT 0.0,
    score            INTEGER NOT NULL DEFAULT 0,
    time_taken       DOUBLE PRECISION,
    points_earned    INTEGER NOT NULL DEFAULT 0,
    answers          JSON,
    started_at       TIMESTAMP,
    completed_at     TIMESTAMP
);
CREATE INDEX paper_attempts_user_id ON paper_attempts (user_id);

-- The ledger of points, which no reset of progress mentions; users.total_points is its sum.
CREATE TABLE points_logs (
    id          SERIAL PRIMARY KEY,
    user_id     INTEGER NOT NULL REFERENCES users (id),
    points      INTEGER NOT NULL,
    source_type VARCHAR NOT NULL,
    source_id   INTEGER,
    description VARCHAR NOT NULL,
    extra_data  JSON,
    created_at  TIMESTAMP NOT NULL
);
CREATE INDEX points_logs_user_id ON points_logs (user_id);

CREATE TABLE practice_sessions (
    id              SERIAL PRIMARY KEY,
    user_id         INTEGER NOT NULL REFERENCES users (id),
    operation_type  VARCHAR NOT NULL,
    difficulty_mode VARCHAR NOT NULL,
    total_questions INTEGER NOT NULL,
    correct_answers INTEGER NOT NULL DEFAULT 0,
    wrong_answers   INTEGER NOT NULL DEFAULT 0,
    accuracy        DOUBLE PRECISION NOT NULL DEFAULT 0.0,
    score           INTEGER NOT NULL DEFAULT 0,
    time_taken      DOUBLE PRECISION NOT NULL,
    points_earned   INTEGER NOT NULL DEFAULT 0,
    started_at      TIMESTAMP,
    completed_at    TIMESTAMP
);
CREATE INDEX practice_sessions_user_id ON practice_sessions (user_id);

-- The answers of one practice session.
CREATE TABLE attempts (
    id              SERIAL PRIMARY KEY,
    session_id      INTEGER NOT NULL REFERENCES practice_sessions (id),
    question_data   JSON NOT NULL,
    user_answer     DOUBLE PRECISION,
    correct_answer  DOUBLE PRECISION NOT NULL,
    is_correct      BOOLEAN NOT NULL DEFAULT FALSE,
    time_taken      DOUBLE PRECISION NOT NULL,
    question_number INTEGER NOT NULL,
    created_at      TIMESTAMP
);
CREATE INDEX attempts_session_id ON attempts (session_id);

-- Badges.
CREATE TABLE rewards (
    id             SERIAL PRIMARY KEY,
    user_id        INTEGER NOT NULL REFERENCES users (id),
    badge_type     VARCHAR NOT NULL,
    badge_name     VARCHAR NOT NULL,
    badge_category VARCHAR NOT NULL DEFAULT 'general',
    is_lifetime    BOOLEAN NOT NULL DEFAULT FALSE,
    month_earned   VARCHAR,
    earned_at      TIMESTAMP
);
CREATE INDEX rewards_user_id ON rewards (user_id);

CREATE TABLE student_profiles (
    id                    SERIAL PRIMARY KEY,
    user_id               INTEGER NOT NULL UNIQUE REFERENCES users (id),
    public_id             VARCHAR UNIQUE,
    internal_uuid         VARCHAR NOT NULL UNIQUE,
    full_name             VARCHAR,
    display_name          VARCHAR,
    class_name            VARCHAR,
    course                VARCHAR,
    level_type            VARCHAR,
    level                 VARCHAR,
    branch                VARCHAR,
    status                VARCHAR NOT NULL DEFAULT 'active',
    join_date             TIMESTAMP,
    finish_date           TIMESTAMP,
    parent_contact_number VARCHAR,
    created_at            TIMESTAMP,
    updated_at            TIMESTAMP
);

CREATE TABLE attendance_records (
    id                 SERIAL PRIMARY KEY,
    session_id         INTEGER NOT NULL REFERENCES class_sessions (id),
    student_profile_id INTEGER NOT NULL REFERENCES student_profiles (id),
    status             VARCHAR NOT NULL DEFAULT 'present',
    t_shirt_worn       BOOLEAN NOT NULL DEFAULT FALSE,
    remarks            TEXT,
    marked_by_user_id  INTEGER NOT NULL REFERENCES users (id),
    created_at         TIMESTAMP,
    updated_at         TIMESTAMP
);
CREATE INDEX attendance_records_session_id ON attendance_records (session_id);
CREATE INDEX attendance_records_student_profile_id ON attendance_records (student_profile_id);
CREATE INDEX attendance_records_marked_by_user_id ON attendance_records (marked_by_user_id);

CREATE TABLE certificates (
    id                   SERIAL PRIMARY KEY,
    student_profile_id   INTEGER NOT NULL REFERENCES student_profiles (id),
    title                VARCHAR NOT NULL,
    marks                DOUBLE PRECISION,
    date_issued          TIMESTAMP NOT NULL,
    description          TEXT,
    issued_by_user_id    INTEGER NOT NULL REFERENCES users (id),
    certificate_file_url VARCHAR,
    created_at           TIMESTAMP
);
CREATE INDEX certificates_student_profile_id ON certificates (student_profile_id);
CREATE INDEX certificates_issued_by_user_id ON certificates (issued_by_user_id);

CREATE TABLE fee_assignments (
    id                   SERIAL PRIMARY KEY,
    student_profile_id   INTEGER NOT NULL REFERENCES student_profiles (id),
    fee_plan_id          INTEGER NOT NULL REFERENCES fee_plans (id),
    custom_fee_amount    DOUBLE PRECISION,
    discount_amount      DOUBLE PRECISION NOT NULL DEFAULT 0.0,
    discount_percentage  DOUBLE PRECISION NOT NULL DEFAULT 0.0,
    effective_fee_amount DOUBLE PRECISION NOT NULL,
    start_date           TIMESTAMP NOT NULL,
    end_date             TIMESTAMP,
    is_active            BOOLEAN NOT NULL DEFAULT TRUE,
    assigned_by_user_id  INTEGER NOT NULL REFERENCES users (id),
    remarks              TEXT,
    created_at           TIMESTAMP,
    updated_at           TIMESTAMP
);
CREATE INDEX fee_assignments_student_profile_id ON fee_assignments (student_profile_id);
CREATE INDEX fee_assignments_fee_plan_id ON fee_assignments (fee_plan_id);
CREATE INDEX fee_assignments_assigned_by_user_id ON fee_assignments (assigned_by_user_id);

CREATE TABLE fee_transactions (
    id                 SERIAL PRIMARY KEY,
    assignment_id      INTEGER NOT NULL REFERENCES fee_assignments (id),
    transaction_type   VARCHAR NOT NULL,
    amount             DOUBLE PRECISION NOT NULL,
    payment_date       TIMESTAMP NOT NULL,
    payment_mode       VARCHAR NOT NULL,
    reference_number   VARCHAR,
    balance_before     DOUBLE PRECISION NOT NULL,
    balance_after      DOUBLE PRECISION NOT NULL,
    remarks            TEXT,
    is_partial         BOOLEAN NOT NULL DEFAULT FALSE,
    created_by_user_id INTEGER NOT NULL REFERENCES users (id),
    created_at         TIMESTAMP,
    updated_at         TIMESTAMP
);
CREATE INDEX fee_transactions_assignment_id ON fee_transactions (assignment_id);
CREATE INDEX fee_transactions_created_by_user_id ON fee_transactions (created_by_user_id);

CREATE TABLE profile_audit_logs (
    id                 SERIAL PRIMARY KEY,
    profile_id         INTEGER NOT NULL REFERENCES student_profiles (id),
    changed_by_user_id INTEGER NOT NULL REFERENCES users (id),
    field_name         VARCHAR NOT NULL,
    old_value          TEXT,
    new_value          TEXT,
    change_reason      TEXT,
    created_at         TIMESTAMP
);
CREATE INDEX profile_audit_logs_profile_id ON profile_audit_logs (profile_id);
CREATE INDEX profile_audit_logs_changed_by_user_id ON profile_audit_logs (changed_by_user_id);

-- Public ids of students who left, free to be given again.
CREATE TABLE vacant_ids (
    id                    SERIAL PRIMARY KEY,
    public_id             VARCHAR NOT NULL UNIQUE,
    original_student_name VARCHAR,
    deleted_at            TIMESTAMP NOT NULL,
    deleted_by_user_id    INTEGER REFERENCES users (id),
    created_at            TIMESTAMP
);
CREATE INDEX vacant_ids_deleted_by_user_id ON vacant_ids (deleted_by_user_id);
