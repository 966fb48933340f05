-- Ra Factory's schema: companies as tenants, their projects down to single pieces, and a log of what was done at
-- each workstation. Every table has row-level security, which its owner passes because it is not forced;
-- `workflow` has it without a policy. BEFORE UPDATE triggers keep updated_at. No foreign key has an action.
--
-- The production columns of pieces and articles, some fifty texts and numbers each, are cut to a few.
--
-- Runs inside the caller's transaction, as the role that owns the tables.

CREATE TYPE workflowactiontype AS ENUM (
    'BarcodeScan', 'PieceCut', 'AssemblyWeld', 'QualityCheck', 'Packaging', 'Shipping', 'MaterialRequest',
    'MaterialReceived', 'WorkstationLogin', 'WorkstationLogout', 'ErrorReport', 'MaintenanceRequest', 'SystemEvent',
    'SoftDelete', 'Restore'
);

CREATE TABLE companies (
    guid                UUID PRIMARY KEY,
    name                VARCHAR NOT NULL,
    short_name          VARCHAR,
    logo_path           VARCHAR,
    is_active           BOOLEAN NOT NULL,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ,
    company_index       INTEGER UNIQUE CHECK (company_index BETWEEN 0 AND 99),
    subscription_tier   VARCHAR NOT NULL DEFAULT 'Basic',
    subscription_status VARCHAR NOT NULL DEFAULT 'trial'
);

CREATE TABLE users (
    guid         UUID PRIMARY KEY,
    company_guid UUID NOT NULL REFERENCES companies (guid),
    email        VARCHAR NOT NULL UNIQUE,
    pwd_hash     VARCHAR NOT NULL,
    role         VARCHAR NOT NULL,
    pin          VARCHAR(6),
    is_active    BOOLEAN NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ,
    name         VARCHAR,
    surname      VARCHAR,
    picture_path VARCHAR
);
CREATE INDEX users_company_guid ON users (company_guid);

CREATE TABLE api_keys (
    guid         UUID PRIMARY KEY,
    company_guid UUID NOT NULL REFERENCES companies (guid),
    key_hash     VARCHAR NOT NULL UNIQUE,
    description  VARCHAR,
    scopes       VARCHAR,
    is_active    BOOLEAN NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_used_at TIMESTAMPTZ,
    updated_at   TIMESTAMPTZ
);

CREATE TABLE workstations (
    guid         UUID PRIMARY KEY,
    company_guid UUID NOT NULL REFERENCES companies (guid),
    location     VARCHAR NOT NULL,
    type         VARCHAR NOT NULL,
    is_active    BOOLEAN NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ
);

CREATE TABLE projects (
    guid          UUID PRIMARY KEY,
    company_guid  UUID NOT NULL REFERENCES companies (guid),
    code          VARCHAR NOT NULL,
    due_date      TIMESTAMPTZ,
    in_production BOOLEAN,
    company_name  VARCHAR,
    is_active     BOOLEAN NOT NULL,
    deleted_at    TIMESTAMPTZ,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ
);

CREATE TABLE components (
    guid         UUID PRIMARY KEY,
    project_guid UUID NOT NULL REFERENCES projects (guid),
    company_guid UUID NOT NULL REFERENCES companies (guid),
    code         VARCHAR NOT NULL,
    designation  VARCHAR,
    quantity     INTEGER NOT NULL,
    picture      BYTEA,
    is_active    BOOLEAN NOT NULL,
    deleted_at   TIMESTAMPTZ,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ
);

CREATE TABLE assemblies (
    guid           UUID PRIMARY KEY,
    project_guid   UUID NOT NULL REFERENCES projects (guid),
    component_guid UUID NOT NULL REFERENCES components (guid),
    company_guid   UUID NOT NULL REFERENCES companies (guid),
    trolley_cell   VARCHAR,
    trolley        VARCHAR,
    cell_number    INTEGER,
    picture        BYTEA,
    is_active      BOOLEAN NOT NULL,
    deleted_at     TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ
);

CREATE TABLE pieces (
    guid           UUID PRIMARY KEY,
    piece_id       VARCHAR NOT NULL,
    project_guid   UUID NOT NULL REFERENCES projects (guid),
    component_guid UUID NOT NULL REFERENCES components (guid),
    assembly_guid  UUID REFERENCES assemblies (guid),
    company_guid   UUID NOT NULL REFERENCES companies (guid),
    material       VARCHAR,
    outer_length   INTEGER,
    picture        BYTEA,
    is_active      BOOLEAN NOT NULL,
    deleted_at     TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ
);

CREATE TABLE articles (
    guid           UUID PRIMARY KEY,
    code           VARCHAR NOT NULL,
    project_guid   UUID NOT NULL REFERENCES projects (guid),
    component_guid UUID NOT NULL REFERENCES components (guid),
    company_guid   UUID NOT NULL REFERENCES companies (guid),
    designation    VARCHAR,
    is_active      BOOLEAN NOT NULL,
    deleted_at     TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ
);

CREATE TABLE ui_templates (
    id               SERIAL PRIMARY KEY,
    company_guid     UUID NOT NULL REFERENCES companies (guid),
    workstation_guid UUID REFERENCES workstations (guid),
    name             VARCHAR NOT NULL,
    json_data        JSON NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ
);

-- api_key_guid leads nowhere that the database knows of.
CREATE TABLE workflow (
    guid             UUID PRIMARY KEY,
    company_guid     UUID NOT NULL REFERENCES companies (guid),
    company_name     VARCHAR,
    workstation_guid UUID REFERENCES workstations (guid),
    workstation_name VARCHAR,
    api_key_guid     UUID,
    user_guid        UUID REFERENCES users (guid),
    user_name        VARCHAR,
    action_type      workflowactiontype NOT NULL,
    action_value     VARCHAR,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ
);
CREATE INDEX workflow_user_guid ON workflow (user_guid);

CREATE TABLE alembic_version (
    version_num VARCHAR(32) PRIMARY KEY
);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

-- The same trigger and the same policy on each table; only active rows of project data are anybody's.
DO $$
DECLARE
    own text;
    also text;
BEGIN
    FOREACH own IN ARRAY ARRAY['users', 'api_keys', 'workstations', 'ui_templates', 'projects', 'components',
                               'assemblies', 'pieces', 'articles', 'companies', 'workflow', 'alembic_version']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', own);
        IF own NOT IN ('workflow', 'alembic_version') THEN
            also := CASE WHEN own IN ('projects', 'components', 'assemblies', 'pieces', 'articles')
                         THEN ' AND is_active' ELSE '' END;
            EXECUTE format('CREATE POLICY tenant_isolation ON %I USING (%I = current_setting(''app.tenant'')::uuid%s '
                           'OR current_setting(''app.bypass_rls'', true) = ''true'')',
                           own, CASE own WHEN 'companies' THEN 'guid' ELSE 'company_guid' END, also);
        END IF;
        IF own <> 'alembic_version' THEN
            EXECUTE format('CREATE TRIGGER touch BEFORE UPDATE ON %I FOR EACH ROW '
                           'EXECUTE FUNCTION touch_updated_at()', own);
        END IF;
    END LOOP;
END $$;
