-- MeStore's schema for PostgreSQL: the 34 tables of its models, the column users.test_metadata, and
-- Alembic's bookkeeping table.
--
-- It is schema.sqlite.sql, table by table, but for what PostgreSQL says in other words:
--   * JSON is jsonb; `DATETIME` is TIMESTAMP; booleans default to FALSE or TRUE;
--   * an integer key is SERIAL, as SQLAlchemy declares it;
--   * users.user_type is a real ENUM type; the other enums are a VARCHAR with a CHECK of their labels, as
--     with SQLAlchemy's native_enum=False, so that both forms are met.
--
-- Two foreign keys of the models join columns of different types, which SQLite lets pass and PostgreSQL
-- refuses. Here the referring column has the type of the key that it refers to:
--   * commissions.order_id is an integer, as orders.id is;
--   * order_items.product_id is VARCHAR(36), as products.id is.
--
-- Runs inside the caller's transaction.

-- Accounts ----------------------------------------------------------------------------------------

CREATE TYPE user_type AS ENUM ('BUYER', 'VENDOR', 'ADMIN', 'SUPERUSER', 'SYSTEM');

-- test_metadata marks rows that tests made: {"test_marker": …, "test_session_id": …, …}.
CREATE TABLE users (
    id                       VARCHAR(36) NOT NULL PRIMARY KEY,
    banco                    VARCHAR(100),
    tipo_cuenta              VARCHAR(20),
    numero_cuenta            VARCHAR(50),
    reset_token              VARCHAR(100),
    reset_token_expires_at   TIMESTAMP,
    reset_attempts           INTEGER NOT NULL DEFAULT 0,
    last_reset_request       TIMESTAMP,
    google_id                VARCHAR(100) UNIQUE,
    google_email             VARCHAR(255),
    google_name              VARCHAR(200),
    google_picture           VARCHAR(500),
    google_verified_email    BOOLEAN NOT NULL DEFAULT FALSE,
    oauth_provider           VARCHAR(50),
    oauth_linked_at          TIMESTAMP,
    email                    VARCHAR(255) NOT NULL UNIQUE,
    password_hash            VARCHAR(255) NOT NULL,
    nombre                   VARCHAR(100),
    apellido                 VARCHAR(100),
    user_type                user_type NOT NULL DEFAULT 'BUYER',
    vendor_status            VARCHAR(17) DEFAULT 'DRAFT'
                              CHECK (vendor_status IN ('DRAFT', 'PENDING_DOCUMENTS', 'PENDING_APPROVAL', 'APPROVED',
                                     'REJECTED')),
    is_active                BOOLEAN NOT NULL DEFAULT TRUE,
    is_verified              BOOLEAN NOT NULL DEFAULT FALSE,
    cedula                   VARCHAR(20) UNIQUE,
    telefono                 VARCHAR(20),
    ciudad                   VARCHAR(100),
    empresa                  VARCHAR(200),
    direccion                VARCHAR(300),
    email_verified           BOOLEAN NOT NULL DEFAULT FALSE,
    phone_verified           BOOLEAN NOT NULL DEFAULT FALSE,
    otp_secret               VARCHAR(6),
    otp_expires_at           TIMESTAMP,
    otp_attempts             INTEGER NOT NULL DEFAULT 0,
    otp_type                 VARCHAR(10),
    last_otp_sent            TIMESTAMP,
    security_clearance_level INTEGER NOT NULL DEFAULT 3,
    department_id            VARCHAR(100),
    employee_id              VARCHAR(50),
    performance_score        INTEGER NOT NULL DEFAULT 100,
    failed_login_attempts    INTEGER NOT NULL DEFAULT 0,
    account_locked_until     TIMESTAMP,
    force_password_change    BOOLEAN NOT NULL DEFAULT FALSE,
    last_login               TIMESTAMP,
    updated_at               TIMESTAMP NOT NULL,
    avatar_url               VARCHAR(500),
    business_name            VARCHAR(200),
    business_description     TEXT,
    website_url              VARCHAR(500),
    social_media_links       JSONB,
    business_hours           JSONB,
    shipping_policy          TEXT,
    return_policy            TEXT,
    notification_preferences JSONB,
    bank_name                VARCHAR(100),
    account_holder_name      VARCHAR(200),
    account_number           VARCHAR(50),
    created_at               TIMESTAMP NOT NULL,
    deleted_at               TIMESTAMP,
    test_metadata            JSONB
);

CREATE TABLE admin_permissions (
    id                       VARCHAR(36) NOT NULL PRIMARY KEY,
    name                     VARCHAR(100) NOT NULL UNIQUE,
    display_name             VARCHAR(200) NOT NULL,
    description              TEXT,
    resource_type            VARCHAR(13) NOT NULL
                              CHECK (resource_type IN ('USERS', 'VENDORS', 'ORDERS', 'PRODUCTS', 'INVENTORY',
                                     'TRANSACTIONS', 'COMMISSIONS', 'REPORTS', 'SETTINGS', 'AUDIT_LOGS',
                                     'NOTIFICATIONS', 'PAYMENTS', 'STORAGE', 'ANALYTICS', 'PERMISSIONS')),
    action                   VARCHAR(9) NOT NULL
                              CHECK (action IN ('CREATE', 'READ', 'UPDATE', 'DELETE', 'APPROVE', 'REJECT', 'MANAGE',
                                     'AUDIT', 'EXPORT', 'IMPORT', 'CONFIGURE', 'MONITOR', 'GRANT', 'REVOKE')),
    scope                    VARCHAR(10) NOT NULL
                              CHECK (scope IN ('SYSTEM', 'GLOBAL', 'DEPARTMENT', 'TEAM', 'USER', 'READ_ONLY')),
    required_clearance_level INTEGER NOT NULL DEFAULT 1,
    requires_mfa             BOOLEAN NOT NULL DEFAULT FALSE,
    requires_approval        BOOLEAN NOT NULL DEFAULT FALSE,
    is_system_permission     BOOLEAN NOT NULL DEFAULT FALSE,
    is_inheritable           BOOLEAN NOT NULL DEFAULT TRUE,
    is_delegatable           BOOLEAN NOT NULL DEFAULT FALSE,
    conditions               JSONB,
    restrictions             JSONB,
    category                 VARCHAR(50),
    tags                     JSONB,
    risk_level               VARCHAR(20) NOT NULL DEFAULT 'MEDIUM',
    compliance_requirements  JSONB,
    audit_required           BOOLEAN NOT NULL DEFAULT TRUE,
    created_at               TIMESTAMP NOT NULL,
    updated_at               TIMESTAMP NOT NULL,
    deleted_at               TIMESTAMP,
    UNIQUE (resource_type, action, scope)
);

CREATE TABLE admin_user_permissions (
    user_id       VARCHAR(36) NOT NULL REFERENCES users (id),
    permission_id VARCHAR(36) NOT NULL REFERENCES admin_permissions (id),
    granted_by_id VARCHAR(36) REFERENCES users (id),
    granted_at    TIMESTAMP,
    expires_at    TIMESTAMP,
    is_active     BOOLEAN NOT NULL DEFAULT TRUE,
    PRIMARY KEY (user_id, permission_id)
);

CREATE TABLE admin_activity_logs (
    id                 VARCHAR(36) NOT NULL PRIMARY KEY,
    admin_user_id      VARCHAR(36) REFERENCES users (id) ON DELETE SET NULL,
    admin_email        VARCHAR(255),
    admin_full_name    VARCHAR(200),
    action_type        VARCHAR(17) NOT NULL
                        CHECK (action_type IN ('AUTHENTICATION', 'USER_MANAGEMENT', 'VENDOR_MANAGEMENT',
                               'FINANCIAL', 'SYSTEM_CONFIG', 'DATA_EXPORT', 'SECURITY', 'AUDIT', 'MONITORING',
                               'EMERGENCY')),
    action_name        VARCHAR(100) NOT NULL,
    action_description TEXT,
    target_type        VARCHAR(50),
    target_id          VARCHAR(100),
    target_identifier  VARCHAR(200),
    result             VARCHAR(9) NOT NULL DEFAULT 'SUCCESS'
                        CHECK (result IN ('SUCCESS', 'FAILURE', 'PARTIAL', 'BLOCKED', 'PENDING', 'CANCELLED',
                               'TIMEOUT')),
    risk_level         VARCHAR(9) NOT NULL DEFAULT 'LOW'
                        CHECK (risk_level IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL', 'EMERGENCY')),
    endpoint           VARCHAR(200),
    http_method        VARCHAR(10),
    request_data       JSONB,
    response_data      JSONB,
    ip_address         VARCHAR(45),
    user_agent         TEXT,
    session_id         VARCHAR(100),
    device_fingerprint VARCHAR(255),
    country_code       VARCHAR(2),
    region             VARCHAR(100),
    city               VARCHAR(100),
    timezone           VARCHAR(50),
    execution_time_ms  FLOAT,
    cpu_usage_percent  FLOAT,
    memory_usage_mb    FLOAT,
    error_code         VARCHAR(50),
    error_message      TEXT,
    error_stack_trace  TEXT,
    requires_review    BOOLEAN NOT NULL DEFAULT FALSE,
    is_suspicious      BOOLEAN NOT NULL DEFAULT FALSE,
    compliance_tags    JSONB,
    retention_policy   VARCHAR(50) NOT NULL DEFAULT 'STANDARD',
    tags               JSONB,
    custom_fields      JSONB,
    correlation_id     VARCHAR(100),
    alert_sent         BOOLEAN NOT NULL DEFAULT FALSE,
    alert_level        VARCHAR(20),
    created_at         TIMESTAMP NOT NULL,
    updated_at         TIMESTAMP NOT NULL,
    deleted_at         TIMESTAMP
);

-- last_modified_by is an integer without a foreign key (a user's id is text).
CREATE TABLE system_settings (
    id               SERIAL NOT NULL PRIMARY KEY,
    key              VARCHAR(255) NOT NULL UNIQUE,
    value            TEXT NOT NULL,
    category         VARCHAR(50) NOT NULL,
    data_type        VARCHAR(20) NOT NULL,
    description      TEXT NOT NULL,
    default_value    TEXT,
    is_public        BOOLEAN DEFAULT FALSE,
    is_editable      BOOLEAN DEFAULT TRUE,
    last_modified_by INTEGER,
    created_at       TIMESTAMP,
    updated_at       TIMESTAMP
);


-- Vendors -----------------------------------------------------------------------------------------

CREATE TABLE vendor_documents (
    id                 VARCHAR(36) NOT NULL PRIMARY KEY,
    vendor_id          VARCHAR(36) NOT NULL REFERENCES users (id),
    document_type      VARCHAR(20) NOT NULL
                        CHECK (document_type IN ('CEDULA', 'RUT', 'CERTIFICADO_BANCARIO', 'CAMARA_COMERCIO')),
    file_path          VARCHAR NOT NULL,
    original_filename  VARCHAR NOT NULL,
    file_size          INTEGER NOT NULL,
    mime_type          VARCHAR NOT NULL,
    status             VARCHAR(8) NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'VERIFIED', 'REJECTED')),
    verified_by        VARCHAR(36) REFERENCES users (id),
    verification_notes TEXT,
    uploaded_at        TIMESTAMP NOT NULL,
    verified_at        TIMESTAMP,
    updated_at         TIMESTAMP
);

CREATE TABLE vendor_notes (
    id         VARCHAR(36) NOT NULL PRIMARY KEY,
    vendor_id  VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    admin_id   VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    note_text  TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    deleted_at TIMESTAMP
);

CREATE TABLE vendor_audit_logs (
    id          VARCHAR(36) NOT NULL PRIMARY KEY,
    vendor_id   VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    admin_id    VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    action_type VARCHAR(15) NOT NULL
                 CHECK (action_type IN ('APPROVED', 'REJECTED', 'SUSPENDED', 'ACTIVATED', 'PROFILE_UPDATED',
                        'NOTE_ADDED', 'STATUS_CHANGED', 'BULK_ACTION')),
    old_values  JSONB,
    new_values  JSONB,
    description TEXT,
    created_at  TIMESTAMP NOT NULL,
    updated_at  TIMESTAMP NOT NULL,
    deleted_at  TIMESTAMP
);

CREATE TABLE payout_requests (
    id                  VARCHAR(36) NOT NULL PRIMARY KEY,
    vendedor_id         VARCHAR(36) NOT NULL REFERENCES users (id),
    monto_solicitado    NUMERIC(12, 2) NOT NULL,
    estado              VARCHAR(10) DEFAULT 'SOLICITADO'
                         CHECK (estado IN ('SOLICITADO', 'PROCESANDO', 'PAGADO', 'RECHAZADO')),
    tipo_cuenta         VARCHAR(20) NOT NULL,
    numero_cuenta       VARCHAR(50) NOT NULL,
    banco               VARCHAR(100) NOT NULL,
    observaciones       VARCHAR(500),
    fecha_procesamiento TIMESTAMP,
    referencia_pago     VARCHAR(100),
    created_at          TIMESTAMP NOT NULL,
    updated_at          TIMESTAMP NOT NULL,
    deleted_at          TIMESTAMP
);

CREATE TABLE payout_history (
    id                  SERIAL NOT NULL PRIMARY KEY,
    payout_request_id   VARCHAR(36) NOT NULL REFERENCES payout_requests (id),
    estado_anterior     VARCHAR(50),
    estado_nuevo        VARCHAR(50) NOT NULL,
    fecha_cambio        TIMESTAMP NOT NULL,
    observaciones       TEXT,
    usuario_responsable VARCHAR(36) REFERENCES users (id),
    created_at          TIMESTAMP NOT NULL,
    updated_at          TIMESTAMP NOT NULL,
    deleted_at          TIMESTAMP
);


-- Catalogue ---------------------------------------------------------------------------------------

CREATE TABLE categories (
    id               VARCHAR(36) NOT NULL PRIMARY KEY,
    name             VARCHAR(200) NOT NULL,
    slug             VARCHAR(200) NOT NULL UNIQUE,
    description      TEXT,
    parent_id        VARCHAR(36) REFERENCES categories (id) ON DELETE SET NULL,
    path             VARCHAR(1000) NOT NULL,
    level            INTEGER NOT NULL DEFAULT 0,
    sort_order       INTEGER NOT NULL DEFAULT 0,
    is_active        BOOLEAN NOT NULL DEFAULT TRUE,
    status           VARCHAR(20) NOT NULL DEFAULT 'ACTIVE',
    meta_title       VARCHAR(255),
    meta_description VARCHAR(500),
    meta_keywords    TEXT,
    icon_url         VARCHAR(500),
    banner_url       VARCHAR(500),
    display_config   TEXT,
    product_count    INTEGER NOT NULL DEFAULT 0,
    created_at       TIMESTAMP NOT NULL,
    updated_at       TIMESTAMP NOT NULL,
    deleted_at       TIMESTAMP
);

CREATE TABLE products (
    id                 VARCHAR(36) NOT NULL PRIMARY KEY,
    sku                VARCHAR(50) NOT NULL UNIQUE,
    vendedor_id        VARCHAR(36) REFERENCES users (id),
    created_by_id      VARCHAR(36) REFERENCES users (id),
    updated_by_id      VARCHAR(36) REFERENCES users (id),
    version            INTEGER NOT NULL DEFAULT 1,
    name               VARCHAR(200) NOT NULL,
    description        TEXT,
    status             VARCHAR(10) NOT NULL DEFAULT 'TRANSITO'
                        CHECK (status IN ('DRAFT', 'PENDING', 'APPROVED', 'REJECTED', 'TRANSITO', 'VERIFICADO',
                               'DISPONIBLE', 'VENDIDO', 'INACTIVE')),
    precio_venta       NUMERIC(10, 2),
    precio_costo       NUMERIC(10, 2),
    comision_mestocker NUMERIC(10, 2),
    peso               NUMERIC(8, 3),
    dimensiones        TEXT,
    categoria          VARCHAR(100),
    tags               TEXT,
    created_at         TIMESTAMP NOT NULL,
    updated_at         TIMESTAMP NOT NULL,
    deleted_at         TIMESTAMP
);

CREATE TABLE product_categories (
    id             VARCHAR(36) NOT NULL PRIMARY KEY,
    product_id     VARCHAR(36) NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    category_id    VARCHAR(36) NOT NULL REFERENCES categories (id) ON DELETE CASCADE,
    is_primary     BOOLEAN NOT NULL DEFAULT FALSE,
    sort_order     INTEGER NOT NULL DEFAULT 0,
    assigned_by_id VARCHAR(36) REFERENCES users (id),
    created_at     TIMESTAMP NOT NULL,
    updated_at     TIMESTAMP NOT NULL,
    deleted_at     TIMESTAMP,
    UNIQUE (product_id, category_id)
);

CREATE TABLE product_images (
    id                VARCHAR(36) NOT NULL PRIMARY KEY,
    product_id        VARCHAR(36) NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    filename          VARCHAR(255) NOT NULL,
    original_filename VARCHAR(255) NOT NULL,
    file_path         TEXT NOT NULL,
    file_size         INTEGER NOT NULL,
    mime_type         VARCHAR(100) NOT NULL,
    width             INTEGER,
    height            INTEGER,
    order_index       INTEGER DEFAULT 0,
    resolution        VARCHAR(20) NOT NULL DEFAULT 'original',
    is_primary        BOOLEAN DEFAULT FALSE,
    deleted_at        TIMESTAMP,
    created_at        TIMESTAMP NOT NULL,
    updated_at        TIMESTAMP NOT NULL
);


-- Warehouse ---------------------------------------------------------------------------------------

-- The model's default for tipo is the number 0, which is none of its labels; the first label stands in.
CREATE TABLE storages (
    id                    VARCHAR(36) NOT NULL PRIMARY KEY,
    tipo                  VARCHAR(8) NOT NULL DEFAULT 'PEQUENO'
                           CHECK (tipo IN ('PEQUENO', 'MEDIANO', 'GRANDE', 'ESPECIAL')),
    capacidad_max         INTEGER NOT NULL,
    vendedor_id           VARCHAR(36) REFERENCES users (id),
    productos_actuales    INTEGER NOT NULL DEFAULT 0,
    ocupacion_actual      NUMERIC(5, 2) NOT NULL DEFAULT 0.0,
    ultima_actualizacion  TIMESTAMP,
    tarifa_mensual        NUMERIC(12, 2),
    tarifa_por_producto   NUMERIC(12, 2),
    fecha_inicio          TIMESTAMP,
    fecha_fin             TIMESTAMP,
    renovacion_automatica BOOLEAN NOT NULL DEFAULT FALSE,
    created_at            TIMESTAMP NOT NULL,
    updated_at            TIMESTAMP NOT NULL,
    deleted_at            TIMESTAMP
);

CREATE TABLE inventory (
    id                      VARCHAR(36) NOT NULL PRIMARY KEY,
    product_id              VARCHAR(36) NOT NULL REFERENCES products (id),
    status                  VARCHAR(10) NOT NULL DEFAULT 'DISPONIBLE'
                             CHECK (status IN ('DISPONIBLE', 'RESERVADO', 'EN_PICKING', 'DESPACHADO')),
    condicion_producto      VARCHAR(15) NOT NULL DEFAULT 'NUEVO'
                             CHECK (condicion_producto IN ('NUEVO', 'USADO_EXCELENTE', 'USADO_BUENO',
                                    'USADO_REGULAR', 'DAÑADO')),
    notas_almacen           TEXT,
    zona                    VARCHAR(10) NOT NULL,
    estante                 VARCHAR(20) NOT NULL,
    posicion                VARCHAR(20) NOT NULL,
    cantidad                INTEGER NOT NULL DEFAULT 0,
    cantidad_reservada      INTEGER NOT NULL DEFAULT 0,
    updated_by_id           VARCHAR(36) REFERENCES users (id),
    storage_id              VARCHAR(36) REFERENCES storages (id),
    fecha_ingreso           TIMESTAMP NOT NULL,
    fecha_ultimo_movimiento TIMESTAMP NOT NULL,
    created_at              TIMESTAMP NOT NULL,
    updated_at              TIMESTAMP NOT NULL,
    deleted_at              TIMESTAMP,
    UNIQUE (product_id, zona, estante, posicion)
);

CREATE TABLE movimientos_stock (
    id                 VARCHAR(36) NOT NULL PRIMARY KEY,
    inventory_id       VARCHAR(36) NOT NULL REFERENCES inventory (id),
    tipo_movimiento    VARCHAR(15) NOT NULL
                        CHECK (tipo_movimiento IN ('INGRESO', 'SALIDA', 'AJUSTE_POSITIVO', 'AJUSTE_NEGATIVO',
                               'TRANSFERENCIA', 'DEVOLUCION', 'MERMA', 'RESERVA', 'LIBERACION')),
    cantidad_anterior  INTEGER NOT NULL,
    cantidad_nueva     INTEGER NOT NULL,
    user_id            VARCHAR(36) REFERENCES users (id),
    observaciones      TEXT,
    fecha_movimiento   TIMESTAMP NOT NULL,
    referencia_externa VARCHAR(100),
    lote               VARCHAR(50),
    ubicacion_origen   VARCHAR(100),
    ubicacion_destino  VARCHAR(100),
    created_at         TIMESTAMP NOT NULL,
    updated_at         TIMESTAMP NOT NULL,
    deleted_at         TIMESTAMP
);

-- movement_id is the stock movement that this entry explains; action_type is free text here.
CREATE TABLE movement_tracker (
    id               VARCHAR(36) NOT NULL PRIMARY KEY,
    movement_id      VARCHAR(36) NOT NULL REFERENCES movimientos_stock (id),
    user_id          VARCHAR(36) NOT NULL REFERENCES users (id),
    user_name        VARCHAR(100) NOT NULL,
    action_type      VARCHAR(20) NOT NULL,
    previous_data    JSONB,
    new_data         JSONB NOT NULL,
    ip_address       VARCHAR(45),
    user_agent       TEXT,
    session_id       VARCHAR(100),
    location_from    JSONB,
    location_to      JSONB,
    batch_id         VARCHAR(36),
    notes            TEXT,
    action_timestamp TIMESTAMP NOT NULL,
    created_at       TIMESTAMP NOT NULL,
    updated_at       TIMESTAMP NOT NULL,
    deleted_at       TIMESTAMP
);

-- reportado_por is the reporter's e-mail, not a key.
CREATE TABLE incidentes_inventario (
    id              VARCHAR(36) NOT NULL PRIMARY KEY,
    inventory_id    VARCHAR(36) NOT NULL REFERENCES inventory (id),
    tipo_incidente  VARCHAR(7) NOT NULL CHECK (tipo_incidente IN ('PERDIDO', 'DAÑADO')),
    estado          VARCHAR(16) DEFAULT 'REPORTADO'
                     CHECK (estado IN ('REPORTADO', 'EN_INVESTIGACION', 'RESUELTO', 'CERRADO')),
    descripcion     TEXT NOT NULL,
    reportado_por   VARCHAR NOT NULL,
    fecha_incidente TIMESTAMP,
    created_at      TIMESTAMP NOT NULL,
    updated_at      TIMESTAMP NOT NULL,
    deleted_at      TIMESTAMP
);

CREATE TABLE incoming_product_queue (
    id                      VARCHAR(36) NOT NULL PRIMARY KEY,
    product_id              VARCHAR(36) NOT NULL REFERENCES products (id),
    vendor_id               VARCHAR(36) NOT NULL REFERENCES users (id),
    expected_arrival        TIMESTAMP,
    actual_arrival          TIMESTAMP,
    verification_status     VARCHAR(13) NOT NULL DEFAULT 'PENDING'
                             CHECK (verification_status IN ('PENDING', 'ASSIGNED', 'IN_PROGRESS', 'QUALITY_CHECK',
                                    'APPROVED', 'REJECTED', 'ON_HOLD', 'COMPLETED')),
    priority                VARCHAR(9) NOT NULL DEFAULT 'NORMAL'
                             CHECK (priority IN ('LOW', 'NORMAL', 'HIGH', 'CRITICAL', 'EXPEDITED')),
    assigned_to             VARCHAR(36) REFERENCES users (id),
    assigned_at             TIMESTAMP,
    deadline                TIMESTAMP,
    tracking_number         VARCHAR(100),
    carrier                 VARCHAR(50),
    is_delayed              BOOLEAN NOT NULL DEFAULT FALSE,
    delay_reason            VARCHAR(14)
                             CHECK (delay_reason IN ('TRANSPORT', 'CUSTOMS', 'DOCUMENTATION', 'VENDOR_DELAY',
                                    'QUALITY_ISSUES', 'CAPACITY', 'OTHER')),
    notes                   TEXT,
    verification_notes      TEXT,
    quality_score           INTEGER,
    quality_issues          TEXT,
    processing_started_at   TIMESTAMP,
    processing_completed_at TIMESTAMP,
    verification_attempts   INTEGER NOT NULL DEFAULT 0,
    created_at              TIMESTAMP NOT NULL,
    updated_at              TIMESTAMP NOT NULL,
    deleted_at              TIMESTAMP
);

CREATE TABLE inventory_audits (
    id                        VARCHAR(36) NOT NULL PRIMARY KEY,
    nombre                    VARCHAR(200) NOT NULL,
    descripcion               TEXT,
    status                    VARCHAR(12) DEFAULT 'INICIADA'
                               CHECK (status IN ('INICIADA', 'EN_PROCESO', 'COMPLETADA', 'RECONCILIADA')),
    fecha_inicio              TIMESTAMP,
    fecha_fin                 TIMESTAMP,
    auditor_id                VARCHAR(36) NOT NULL REFERENCES users (id),
    audit_type                VARCHAR(50) DEFAULT 'physical',
    discrepancies_found       INTEGER DEFAULT 0,
    total_items_auditados     INTEGER DEFAULT 0,
    discrepancias_encontradas INTEGER DEFAULT 0,
    valor_discrepancias       FLOAT DEFAULT 0.0,
    notas                     TEXT,
    created_at                TIMESTAMP,
    updated_at                TIMESTAMP
);

CREATE TABLE inventory_audit_items (
    id                  VARCHAR(36) NOT NULL PRIMARY KEY,
    audit_id            VARCHAR(36) NOT NULL REFERENCES inventory_audits (id),
    inventory_id        VARCHAR(36) NOT NULL REFERENCES inventory (id),
    cantidad_sistema    INTEGER NOT NULL,
    ubicacion_sistema   VARCHAR(100),
    condicion_sistema   VARCHAR(50),
    cantidad_fisica     INTEGER,
    ubicacion_fisica    VARCHAR(100),
    condicion_fisica    VARCHAR(50),
    conteo_completado   BOOLEAN DEFAULT FALSE,
    tiene_discrepancia  BOOLEAN DEFAULT FALSE,
    tipo_discrepancia   VARCHAR(20)
                         CHECK (tipo_discrepancia IN ('FALTANTE', 'SOBRANTE', 'UBICACION_INCORRECTA',
                                'CONDICION_DIFERENTE')),
    diferencia_cantidad INTEGER DEFAULT 0,
    valor_discrepancia  FLOAT,
    fecha_conteo        TIMESTAMP,
    notas_conteo        TEXT,
    reconciliado        BOOLEAN DEFAULT FALSE
);

CREATE TABLE discrepancy_reports (
    id                      VARCHAR(36) NOT NULL PRIMARY KEY,
    audit_id                VARCHAR(36) NOT NULL REFERENCES inventory_audits (id),
    report_type             VARCHAR(17) NOT NULL
                             CHECK (report_type IN ('DISCREPANCIES', 'ADJUSTMENTS', 'ACCURACY', 'FINANCIAL_IMPACT',
                                    'LOCATION_ANALYSIS', 'CATEGORY_ANALYSIS', 'TREND_ANALYSIS', 'COMPREHENSIVE')),
    report_name             VARCHAR(200) NOT NULL,
    description             TEXT,
    generated_by_id         VARCHAR(36) NOT NULL REFERENCES users (id),
    generated_by_name       VARCHAR(100) NOT NULL,
    date_range_start        TIMESTAMP NOT NULL,
    date_range_end          TIMESTAMP NOT NULL,
    total_discrepancies     INTEGER DEFAULT 0,
    total_adjustments       INTEGER DEFAULT 0,
    financial_impact        FLOAT DEFAULT 0.0,
    accuracy_percentage     FLOAT DEFAULT 0.0,
    items_analyzed          INTEGER DEFAULT 0,
    file_path               VARCHAR(500),
    file_format             VARCHAR(5) NOT NULL CHECK (file_format IN ('PDF', 'EXCEL', 'CSV', 'JSONB')),
    file_size               INTEGER,
    status                  VARCHAR(10) NOT NULL DEFAULT 'GENERATING'
                             CHECK (status IN ('GENERATING', 'COMPLETED', 'FAILED', 'EXPIRED')),
    analysis_data           JSONB,
    report_config           JSONB,
    generation_time_seconds FLOAT,
    expiry_date             TIMESTAMP,
    download_count          INTEGER DEFAULT 0,
    notes                   TEXT,
    created_at              TIMESTAMP NOT NULL,
    updated_at              TIMESTAMP,
    completed_at            TIMESTAMP
);


-- Orders and payments -----------------------------------------------------------------------------

CREATE TABLE orders (
    id                   SERIAL NOT NULL PRIMARY KEY,
    order_number         VARCHAR(50) NOT NULL UNIQUE,
    buyer_id             VARCHAR(36) NOT NULL REFERENCES users (id),
    subtotal             NUMERIC(10, 2) NOT NULL DEFAULT 0.0,
    tax_amount           NUMERIC(10, 2) NOT NULL DEFAULT 0.0,
    shipping_cost        NUMERIC(10, 2) NOT NULL DEFAULT 0.0,
    discount_amount      NUMERIC(10, 2) NOT NULL DEFAULT 0.0,
    total_amount         NUMERIC(10, 2) NOT NULL,
    status               VARCHAR(10) NOT NULL DEFAULT 'PENDING'
                          CHECK (status IN ('PENDING', 'CONFIRMED', 'PROCESSING', 'SHIPPED', 'DELIVERED',
                                 'CANCELLED', 'REFUNDED')),
    created_at           TIMESTAMP,
    updated_at           TIMESTAMP,
    confirmed_at         TIMESTAMP,
    shipped_at           TIMESTAMP,
    delivered_at         TIMESTAMP,
    cancelled_at         TIMESTAMP,
    cancellation_reason  TEXT,
    shipping_name        VARCHAR(200) NOT NULL,
    shipping_phone       VARCHAR(20) NOT NULL,
    shipping_email       VARCHAR(255),
    shipping_address     TEXT NOT NULL,
    shipping_city        VARCHAR(100) NOT NULL,
    shipping_state       VARCHAR(100) NOT NULL,
    shipping_postal_code VARCHAR(20),
    shipping_country     VARCHAR(2) NOT NULL DEFAULT 'CO',
    notes                TEXT,
    tracking_number      VARCHAR(100),
    courier              VARCHAR(100),
    estimated_delivery   TIMESTAMP,
    shipping_events      JSONB DEFAULT '[]'
);

CREATE TABLE order_items (
    id                 SERIAL NOT NULL PRIMARY KEY,
    order_id           INTEGER NOT NULL REFERENCES orders (id),
    product_id         VARCHAR(36) NOT NULL REFERENCES products (id),
    product_name       VARCHAR(500) NOT NULL,
    product_sku        VARCHAR(100) NOT NULL,
    product_image_url  VARCHAR(1000),
    unit_price         NUMERIC(10, 2) NOT NULL,
    quantity           INTEGER NOT NULL,
    total_price        NUMERIC(10, 2) NOT NULL,
    variant_attributes TEXT,
    created_at         TIMESTAMP
);

CREATE TABLE payment_methods (
    id                  SERIAL NOT NULL PRIMARY KEY,
    buyer_id            VARCHAR(36) NOT NULL REFERENCES users (id),
    method_type         VARCHAR(50) NOT NULL,
    is_default          BOOLEAN DEFAULT FALSE,
    is_active           BOOLEAN DEFAULT TRUE,
    card_brand          VARCHAR(50),
    card_last_four      VARCHAR(4),
    card_exp_month      VARCHAR(2),
    card_exp_year       VARCHAR(4),
    card_holder_name    VARCHAR(200),
    pse_bank_code       VARCHAR(10),
    pse_bank_name       VARCHAR(200),
    pse_user_type       VARCHAR(20),
    pse_user_dni        VARCHAR(50),
    gateway_token       VARCHAR(500),
    gateway_customer_id VARCHAR(200),
    created_at          TIMESTAMP,
    updated_at          TIMESTAMP
);

CREATE TABLE order_transactions (
    id                     SERIAL NOT NULL PRIMARY KEY,
    transaction_reference  VARCHAR(100) NOT NULL UNIQUE,
    order_id               INTEGER NOT NULL REFERENCES orders (id),
    amount                 NUMERIC(10, 2) NOT NULL,
    currency               VARCHAR(3) NOT NULL DEFAULT 'COP',
    status                 VARCHAR(10) NOT NULL DEFAULT 'PENDING'
                            CHECK (status IN ('PENDING', 'PROCESSING', 'APPROVED', 'DECLINED', 'ERROR',
                                   'CANCELLED')),
    payment_method_type    VARCHAR(50) NOT NULL,
    payment_method_id      INTEGER REFERENCES payment_methods (id),
    gateway                VARCHAR(50) NOT NULL DEFAULT 'wompi',
    gateway_transaction_id VARCHAR(200),
    gateway_reference      VARCHAR(200),
    gateway_response       TEXT,
    created_at             TIMESTAMP,
    processed_at           TIMESTAMP,
    confirmed_at           TIMESTAMP,
    failure_reason         TEXT,
    failure_code           VARCHAR(50)
);

CREATE TABLE payments (
    id                   SERIAL NOT NULL PRIMARY KEY,
    payment_reference    VARCHAR(100) NOT NULL UNIQUE,
    transaction_id       INTEGER NOT NULL REFERENCES order_transactions (id),
    wompi_transaction_id VARCHAR(200),
    wompi_payment_id     VARCHAR(200),
    amount_in_cents      INTEGER NOT NULL,
    currency             VARCHAR(3) NOT NULL DEFAULT 'COP',
    payment_method_type  VARCHAR(50) NOT NULL,
    payment_method       JSONB,
    customer_email       VARCHAR(320),
    customer_data        JSONB,
    status               VARCHAR(50) NOT NULL,
    status_message       TEXT,
    gateway_response     JSONB,
    gateway_created_at   TIMESTAMP,
    gateway_finalized_at TIMESTAMP,
    created_at           TIMESTAMP,
    updated_at           TIMESTAMP
);

CREATE TABLE payment_refunds (
    id                     SERIAL NOT NULL PRIMARY KEY,
    refund_reference       VARCHAR(100) NOT NULL UNIQUE,
    payment_id             INTEGER NOT NULL REFERENCES payments (id),
    transaction_id         INTEGER NOT NULL REFERENCES order_transactions (id),
    refund_amount_in_cents INTEGER NOT NULL,
    currency               VARCHAR(3) NOT NULL DEFAULT 'COP',
    reason                 TEXT,
    wompi_refund_id        VARCHAR(200),
    gateway_response       JSONB,
    status                 VARCHAR(50) NOT NULL,
    status_message         TEXT,
    created_at             TIMESTAMP,
    processed_at           TIMESTAMP,
    completed_at           TIMESTAMP
);

CREATE TABLE payment_intents (
    id                    SERIAL NOT NULL PRIMARY KEY,
    intent_reference      VARCHAR(100) NOT NULL UNIQUE,
    order_id              INTEGER NOT NULL REFERENCES orders (id),
    amount_in_cents       INTEGER NOT NULL,
    currency              VARCHAR(3) NOT NULL DEFAULT 'COP',
    customer_email        VARCHAR(320) NOT NULL,
    billing_data          JSONB,
    payment_method_types  JSONB,
    redirect_url          VARCHAR(1000),
    wompi_payment_link_id VARCHAR(200),
    wompi_checkout_url    VARCHAR(1000),
    status                VARCHAR(50) NOT NULL DEFAULT 'created',
    expires_at            TIMESTAMP,
    created_at            TIMESTAMP,
    updated_at            TIMESTAMP,
    completed_at          TIMESTAMP
);

CREATE TABLE webhook_events (
    id                  SERIAL NOT NULL PRIMARY KEY,
    event_id            VARCHAR(100) NOT NULL UNIQUE,
    transaction_id      INTEGER REFERENCES order_transactions (id),
    event_type          VARCHAR(19) NOT NULL
                         CHECK (event_type IN ('TRANSACTION_UPDATED', 'PAYMENT_CREATED', 'PAYMENT_UPDATED',
                                'PAYMENT_FAILED', 'PAYMENT_APPROVED', 'PAYMENT_DECLINED', 'PAYMENT_VOIDED',
                                'PAYMENT_REFUNDED')),
    event_status        VARCHAR(10) NOT NULL DEFAULT 'RECEIVED'
                         CHECK (event_status IN ('RECEIVED', 'PROCESSING', 'PROCESSED', 'FAILED', 'IGNORED')),
    raw_payload         JSONB NOT NULL,
    signature           VARCHAR(500),
    signature_validated BOOLEAN DEFAULT FALSE,
    processed_at        TIMESTAMP,
    processing_attempts INTEGER DEFAULT 0,
    processing_error    TEXT,
    created_at          TIMESTAMP,
    gateway_timestamp   TIMESTAMP
);


-- Marketplace settlement --------------------------------------------------------------------------

CREATE TABLE transactions (
    id                   VARCHAR(36) NOT NULL PRIMARY KEY,
    monto                NUMERIC(12, 2) NOT NULL,
    inventory_id         VARCHAR(36) REFERENCES inventory (id),
    status               VARCHAR(50),
    fecha_pago           TIMESTAMP,
    referencia_pago      VARCHAR(100),
    metodo_pago          VARCHAR(15) NOT NULL
                          CHECK (metodo_pago IN ('EFECTIVO', 'TARJETA_CREDITO', 'TARJETA_DEBITO', 'PSE', 'NEQUI',
                                 'DAVIPLATA')),
    estado               VARCHAR(10) NOT NULL DEFAULT 'PENDIENTE'
                          CHECK (estado IN ('PENDIENTE', 'PROCESANDO', 'COMPLETADA', 'FALLIDA', 'CANCELADA')),
    transaction_type     VARCHAR(10) NOT NULL DEFAULT 'VENTA'
                          CHECK (transaction_type IN ('VENTA', 'COMISION', 'DEVOLUCION', 'AJUSTE')),
    porcentaje_mestocker NUMERIC(5, 2),
    monto_vendedor       NUMERIC(12, 2),
    comprador_id         VARCHAR(36) NOT NULL REFERENCES users (id),
    vendedor_id          VARCHAR(36) REFERENCES users (id),
    product_id           VARCHAR(36) REFERENCES products (id),
    referencia_externa   VARCHAR(100),
    observaciones        TEXT,
    created_at           TIMESTAMP NOT NULL,
    updated_at           TIMESTAMP NOT NULL,
    deleted_at           TIMESTAMP
);

CREATE TABLE commissions (
    id                 VARCHAR(36) NOT NULL PRIMARY KEY,
    commission_number  VARCHAR(50) NOT NULL UNIQUE,
    order_id           INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    vendor_id          VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    transaction_id     VARCHAR(36) REFERENCES transactions (id) ON DELETE SET NULL,
    order_amount       NUMERIC(10, 2) NOT NULL,
    commission_rate    NUMERIC(5, 4) NOT NULL,
    commission_amount  NUMERIC(10, 2) NOT NULL,
    vendor_amount      NUMERIC(10, 2) NOT NULL,
    platform_amount    NUMERIC(10, 2) NOT NULL,
    commission_type    VARCHAR(14) NOT NULL DEFAULT 'STANDARD'
                        CHECK (commission_type IN ('STANDARD', 'PREMIUM', 'PROMOTIONAL', 'CATEGORY_BASED')),
    status             VARCHAR(9) NOT NULL DEFAULT 'PENDING'
                        CHECK (status IN ('PENDING', 'APPROVED', 'PAID', 'DISPUTED', 'REFUNDED', 'CANCELLED')),
    currency           VARCHAR(3) NOT NULL DEFAULT 'COP',
    calculation_method VARCHAR(100) NOT NULL DEFAULT 'automatic',
    notes              TEXT,
    admin_notes        TEXT,
    calculated_at      TIMESTAMP NOT NULL,
    approved_at        TIMESTAMP,
    paid_at            TIMESTAMP,
    disputed_at        TIMESTAMP,
    resolved_at        TIMESTAMP,
    approved_by_id     VARCHAR(36) REFERENCES users (id),
    created_at         TIMESTAMP NOT NULL,
    updated_at         TIMESTAMP NOT NULL,
    deleted_at         TIMESTAMP
);

CREATE TABLE commission_disputes (
    id              VARCHAR(36) NOT NULL PRIMARY KEY,
    transaction_id  VARCHAR(36) NOT NULL REFERENCES transactions (id),
    usuario_id      VARCHAR(36) NOT NULL REFERENCES users (id),
    motivo          VARCHAR(100) NOT NULL,
    descripcion     TEXT NOT NULL,
    estado          VARCHAR(11) NOT NULL DEFAULT 'ABIERTO'
                     CHECK (estado IN ('ABIERTO', 'EN_REVISION', 'RESUELTO', 'RECHAZADO')),
    respuesta_admin TEXT,
    created_at      TIMESTAMP NOT NULL,
    updated_at      TIMESTAMP NOT NULL,
    deleted_at      TIMESTAMP
);

-- Indexes on foreign keys ---------------------------------------------------------------------------

-- Every foreign key leads an index, so that deleting a parent does not scan its children. Where a primary
-- key or a UNIQUE constraint already begins with the column, that index serves:
-- admin_user_permissions.user_id, inventory.product_id, product_categories.product_id.
--
-- Two are left without one on purpose, both on small tables, so that advice about unindexed foreign keys
-- has something to say: discrepancy_reports.generated_by_id and vendor_documents.verified_by.

CREATE INDEX ix_admin_user_permissions_permission_id ON admin_user_permissions (permission_id);
CREATE INDEX ix_admin_user_permissions_granted_by_id ON admin_user_permissions (granted_by_id);
CREATE INDEX ix_admin_activity_logs_admin_user_id ON admin_activity_logs (admin_user_id);
CREATE INDEX ix_vendor_documents_vendor_id ON vendor_documents (vendor_id);
CREATE INDEX ix_vendor_notes_vendor_id ON vendor_notes (vendor_id);
CREATE INDEX ix_vendor_notes_admin_id ON vendor_notes (admin_id);
CREATE INDEX ix_vendor_audit_logs_vendor_id ON vendor_audit_logs (vendor_id);
CREATE INDEX ix_vendor_audit_logs_admin_id ON vendor_audit_logs (admin_id);
CREATE INDEX ix_payout_requests_vendedor_id ON payout_requests (vendedor_id);
CREATE INDEX ix_payout_history_payout_request_id ON payout_history (payout_request_id);
CREATE INDEX ix_payout_history_usuario_responsable ON payout_history (usuario_responsable);
CREATE INDEX ix_categories_parent_id ON categories (parent_id);
CREATE INDEX ix_products_vendedor_id ON products (vendedor_id);
CREATE INDEX ix_products_created_by_id ON products (created_by_id);
CREATE INDEX ix_products_updated_by_id ON products (updated_by_id);
CREATE INDEX ix_product_categories_category_id ON product_categories (category_id);
CREATE INDEX ix_product_categories_assigned_by_id ON product_categories (assigned_by_id);
CREATE INDEX ix_product_images_product_id ON product_images (product_id);
CREATE INDEX ix_storages_vendedor_id ON storages (vendedor_id);
CREATE INDEX ix_inventory_updated_by_id ON inventory (updated_by_id);
CREATE INDEX ix_inventory_storage_id ON inventory (storage_id);
CREATE INDEX ix_movimientos_stock_inventory_id ON movimientos_stock (inventory_id);
CREATE INDEX ix_movimientos_stock_user_id ON movimientos_stock (user_id);
CREATE INDEX ix_movement_tracker_movement_id ON movement_tracker (movement_id);
CREATE INDEX ix_movement_tracker_user_id ON movement_tracker (user_id);
CREATE INDEX ix_incidentes_inventario_inventory_id ON incidentes_inventario (inventory_id);
CREATE INDEX ix_incoming_product_queue_product_id ON incoming_product_queue (product_id);
CREATE INDEX ix_incoming_product_queue_vendor_id ON incoming_product_queue (vendor_id);
CREATE INDEX ix_incoming_product_queue_assigned_to ON incoming_product_queue (assigned_to);
CREATE INDEX ix_inventory_audits_auditor_id ON inventory_audits (auditor_id);
CREATE INDEX ix_inventory_audit_items_audit_id ON inventory_audit_items (audit_id);
CREATE INDEX ix_inventory_audit_items_inventory_id ON inventory_audit_items (inventory_id);
CREATE INDEX ix_discrepancy_reports_audit_id ON discrepancy_reports (audit_id);
CREATE INDEX ix_orders_buyer_id ON orders (buyer_id);
CREATE INDEX ix_order_items_order_id ON order_items (order_id);
CREATE INDEX ix_order_items_product_id ON order_items (product_id);
CREATE INDEX ix_payment_methods_buyer_id ON payment_methods (buyer_id);
CREATE INDEX ix_order_transactions_order_id ON order_transactions (order_id);
CREATE INDEX ix_order_transactions_payment_method_id ON order_transactions (payment_method_id);
CREATE INDEX ix_payments_transaction_id ON payments (transaction_id);
CREATE INDEX ix_payment_refunds_payment_id ON payment_refunds (payment_id);
CREATE INDEX ix_payment_refunds_transaction_id ON payment_refunds (transaction_id);
CREATE INDEX ix_payment_intents_order_id ON payment_intents (order_id);
CREATE INDEX ix_webhook_events_transaction_id ON webhook_events (transaction_id);
CREATE INDEX ix_transactions_inventory_id ON transactions (inventory_id);
CREATE INDEX ix_transactions_comprador_id ON transactions (comprador_id);
CREATE INDEX ix_transactions_vendedor_id ON transactions (vendedor_id);
CREATE INDEX ix_transactions_product_id ON transactions (product_id);
CREATE INDEX ix_commissions_order_id ON commissions (order_id);
CREATE INDEX ix_commissions_vendor_id ON commissions (vendor_id);
CREATE INDEX ix_commissions_transaction_id ON commissions (transaction_id);
CREATE INDEX ix_commissions_approved_by_id ON commissions (approved_by_id);
CREATE INDEX ix_commission_disputes_transaction_id ON commission_disputes (transaction_id);
CREATE INDEX ix_commission_disputes_usuario_id ON commission_disputes (usuario_id);

-- Migration bookkeeping ----------------------------------------------------------------------------

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL PRIMARY KEY
);

INSERT INTO alembic_version (version_num) VALUES ('3f8a61c2d94b');
