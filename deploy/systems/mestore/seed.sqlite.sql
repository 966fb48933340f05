-- Data for MeStore's schema: a Colombian marketplace of 300 users, about 10 000 rows.
--
-- Everything is computed from row numbers, so loading it twice gives the same bytes. Runs inside the
-- caller's transaction, on empty tables, with foreign keys enforced: parents come first.
--
-- Text ids are version 4 UUIDs that can be read: the first group is the kind of row, the last its number.
--     01 users · 02 categories · 03 admin_permissions · 04 products · 05 product_images
--     06 product_categories · 07 storages · 08 inventory · 09 movimientos_stock · 0a movement_tracker
--     0b incidentes_inventario · 0c incoming_product_queue · 0d inventory_audits · 0e inventory_audit_items
--     0f discrepancy_reports · 10 transactions · 11 commissions · 12 commission_disputes
--     13 payout_requests · 14 vendor_documents · 15 vendor_notes · 16 vendor_audit_logs
--     17 admin_activity_logs
-- Rows are inserted in the order of their numbers, so `rowid` is a row's number in every table.
--
-- Users 1 to 100 are test users, 25 in each test domain; 101 to 300 are everybody else. So an id below
-- 00000001-0000-4000-8000-000000000065 belongs to a test user, which the statements below use.
--     1 maria.compradora@test.com   a buyer with more than twelve orders, in every state an order can have
--     5 tienda.demo@test.com        a vendor with products, stock, storages, papers, payouts, commissions
--     9 nuevo.usuario@test.com      just registered: no row refers to it
--   101 ceo@corporation.com         a superuser, and nobody's test user
--   102 … 107                       addresses that only look like test users

-- Users -------------------------------------------------------------------------------------------
-- Every type on both sides; some inactive, some soft-deleted. Everybody's password is testpass123.
-- Three runs of integration tests left marked users behind: the first long ago, two in August 2025. Two
-- marked rows are traps: user 91 is an admin and user 120 has a real address. Two more carry another marker.

WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 300),
nombres(k, nombre, correo) AS (VALUES
    (0, 'Valentina', 'valentina'), (1, 'Santiago', 'santiago'), (2, 'Mariana', 'mariana'), (3, 'Andrés', 'andres'),
    (4, 'Luisa Fernanda', 'luisa'), (5, 'Juan Camilo', 'juancamilo'), (6, 'Daniela', 'daniela'), (7, 'Óscar', 'oscar'),
    (8, 'Paola', 'paola'), (9, 'Julián', 'julian'), (10, 'Catalina', 'catalina'), (11, 'Felipe', 'felipe'),
    (12, 'Natalia', 'natalia'), (13, 'Jhon Jairo', 'jhonjairo'), (14, 'Yuliana', 'yuliana'), (15, 'Hernán', 'hernan'),
    (16, 'Carolina', 'carolina'), (17, 'Mauricio', 'mauricio'), (18, 'Adriana', 'adriana'), (19, 'Nicolás', 'nicolas'),
    (20, 'Ximena', 'ximena'), (21, 'Wilson', 'wilson'), (22, 'Gloria', 'gloria'), (23, 'Germán', 'german'),
    (24, 'Lorena', 'lorena')),
apellidos(k, apellido, correo) AS (VALUES
    (0, 'Rodríguez', 'rodriguez'), (1, 'Gómez', 'gomez'), (2, 'Restrepo', 'restrepo'), (3, 'Ospina', 'ospina'),
    (4, 'Vargas', 'vargas'), (5, 'Cárdenas', 'cardenas'), (6, 'Jaramillo', 'jaramillo'), (7, 'Pineda', 'pineda'),
    (8, 'Mosquera', 'mosquera'), (9, 'Giraldo', 'giraldo'), (10, 'Bermúdez', 'bermudez'), (11, 'Zapata', 'zapata'),
    (12, 'Castaño', 'castano'), (13, 'Arango', 'arango'), (14, 'Quintero', 'quintero'), (15, 'Salazar', 'salazar'),
    (16, 'Londoño', 'londono'), (17, 'Acevedo', 'acevedo'), (18, 'Duque', 'duque'), (19, 'Beltrán', 'beltran'),
    (20, 'Caicedo', 'caicedo'), (21, 'Zuluaga', 'zuluaga'), (22, 'Rincón', 'rincon'), (23, 'Narváez', 'narvaez')),
ciudades(k, ciudad) AS (VALUES
    (0, 'Bogotá'), (1, 'Medellín'), (2, 'Cali'), (3, 'Barranquilla'), (4, 'Bucaramanga'), (5, 'Pereira'),
    (6, 'Cartagena'), (7, 'Manizales'), (8, 'Pasto'), (9, 'Ibagué')),
dominios(desde, hasta, k, dominio) AS (VALUES
    (1, 100, 1, 'test.com'), (1, 100, 2, 'testing.com'), (1, 100, 3, 'dev.com'), (1, 100, 0, 'example.com'),
    (101, 284, 0, 'gmail.com'), (101, 284, 1, 'hotmail.com'), (101, 284, 2, 'outlook.com'), (101, 284, 3, 'yahoo.com.co'),
    (285, 300, 0, 'mestore.co'), (285, 300, 1, 'mestore.co'), (285, 300, 2, 'mestore.co'), (285, 300, 3, 'mestore.co')),
tipos(desde, hasta, user_type) AS (VALUES
    (1, 4, 'BUYER'), (5, 5, 'VENDOR'), (6, 66, 'BUYER'), (67, 90, 'VENDOR'), (91, 96, 'ADMIN'), (97, 98, 'SUPERUSER'),
    (99, 100, 'SYSTEM'), (101, 101, 'SUPERUSER'), (102, 214, 'BUYER'), (215, 284, 'VENDOR'), (285, 292, 'ADMIN'),
    (293, 295, 'SUPERUSER'), (296, 300, 'SYSTEM')),
conocidos(i, email, nombre, apellido) AS (VALUES
    (1, 'maria.compradora@test.com', 'María', 'Compradora'), (4, 'test@example.com', 'Test', 'Usuario'),
    (5, 'tienda.demo@test.com', 'Tienda', 'Demo'), (9, 'nuevo.usuario@test.com', 'Nuevo', 'Usuario'),
    (13, 'testuser@test.com', 'Test', 'User'), (17, 'feature-test@test.com', 'Feature', 'Test'),
    (91, 'admin.qa@dev.com', 'Admin', 'QA'), (97, 'superadmin@test.com', 'Super', 'Admin'),
    (99, 'bot.pagos@dev.com', 'Bot', 'Pagos'), (100, 'bot.inventario@example.com', 'Bot', 'Inventario'),
    (101, 'ceo@corporation.com', 'Jairo', 'Echeverri'), (102, 'ana@test.com.evil.org', 'Ana', 'Mejía'),
    (103, 'luis@evil-test.com', 'Luis', 'Peña'), (104, 'bob@test.community', 'Bob', 'Martin'),
    (105, 'ceo@dev.company.com', 'Patricia', 'Nieto'), (106, 'camila@tést.com', 'Camila', 'Ríos'),
    (107, 'xiomara@xtest.com', 'Xiomara', 'Polo'), (296, 'pagos@sistema.mestore.co', 'Sistema', 'Pagos'),
    (297, 'inventario@sistema.mestore.co', 'Sistema', 'Inventario'), (298, 'envios@sistema.mestore.co', 'Sistema', 'Envíos'),
    (299, 'correo@sistema.mestore.co', 'Sistema', 'Correo'), (300, 'reportes@sistema.mestore.co', 'Sistema', 'Reportes')),
sesiones(desde, hasta, sesion, inicio) AS (VALUES
    (40, 46, 'test_session_1640995200_abc12345', '2022-01-01 00:00:00'),
    (67, 69, 'test_session_1640995200_abc12345', '2022-01-01 00:00:00'),
    (91, 91, 'test_session_1640995200_abc12345', '2022-01-01 00:00:00'),
    (47, 56, 'test_session_1754316000_5f3a9c01', '2025-08-04 14:00:00'),
    (57, 66, 'test_session_1756130400_0be7d4aa', '2025-08-25 14:00:00'),
    (120, 120, 'test_session_1756130400_0be7d4aa', '2025-08-25 14:00:00')),
persona AS (
    SELECT n.i, user_type, ciudad, sesion, coalesce(c.nombre, nm.nombre) AS nombre,
           coalesce(c.apellido, ap.apellido) AS apellido,
           coalesce(c.email, nm.correo || '.' || ap.correo || '@' || dominio) AS email,
           CASE WHEN i = 9 THEN '2025-09-29 09:15:00'
                WHEN inicio IS NOT NULL THEN datetime(inicio, '+' || (i % 10) || ' minutes')
                ELSE datetime('2024-01-08 08:00:00', '+' || (i * 37 % iif(user_type = 'BUYER', 400, 120)) || ' days',
                              '+' || (i * 53 % 720) || ' minutes') END AS alta
    FROM n CROSS JOIN tipos t ON i BETWEEN t.desde AND t.hasta  -- CROSS: in this order, whatever SQLite estimates
    CROSS JOIN nombres nm ON nm.k = i % 25 CROSS JOIN apellidos ap ON ap.k = i % 24
    CROSS JOIN ciudades ci ON ci.k = i * 7 / 3 % 10 CROSS JOIN dominios d ON i BETWEEN d.desde AND d.hasta AND d.k = i % 4
    LEFT JOIN conocidos c USING (i) LEFT JOIN sesiones s ON i BETWEEN s.desde AND s.hasta)
INSERT INTO users (
    id, email, password_hash, nombre, apellido, user_type, is_active, is_verified, email_verified, phone_verified,
    ciudad, cedula, telefono, direccion, notification_preferences, avatar_url, failed_login_attempts,
    force_password_change, created_at, updated_at, deleted_at, test_metadata)
SELECT printf('%08x-0000-4000-8000-%012x', 1, i), email, '$2b$04$DW5EKwc3zuqIEc6w2OUiNubDJLRa7v9emC1EOQy5yv.kYJtzu7JFi',
       nombre, apellido, user_type, i % 17 <> 0, i % 8 <> 0, i % 8 <> 0, i % 4 = 1, ciudad,
       iif(user_type <> 'SYSTEM' AND i % 9 <> 0, 1012340000 + i * 7919, NULL),
       iif(user_type <> 'SYSTEM', printf('3%02d%07d', i * 7 % 25, i * 104729 % 10000000), NULL),
       iif(user_type <> 'SYSTEM' AND i <> 9,
           printf('%s %d # %d-%02d', iif(i % 2, 'Calle', 'Carrera'), i * 11 % 150 + 1, i * 5 % 90 + 1, i * 17 % 99), NULL),
       iif(i % 2, json_object('correo', json('true'), 'sms', json('false')), NULL),
       iif(i % 6 = 2, 'https://cdn.mestore.co/avatares/' || i || '.webp', NULL), iif(i % 7 = 1, 2, 0), i % 31 = 0,
       alta, alta, iif(i % 43 = 0, datetime(alta, '+90 days'), NULL),
       CASE WHEN sesion IS NOT NULL THEN json_object(
                'test_marker', 'integration_test_data', 'test_session_id', sesion,
                'test_timestamp', strftime('%Y-%m-%dT%H:%M:%S', alta) || printf('.%06d', i * 7919 % 1000000),
                'created_by_test', json('true'), 'test_data_type', 'user')
            WHEN i IN (20, 150) THEN json_object('test_marker', 'load_test_data', 'created_by_test', json('true')) END
FROM persona ORDER BY i;

UPDATE users SET
    vendor_status = CASE WHEN rowid % 9 = 0 THEN 'PENDING_DOCUMENTS' WHEN rowid % 9 = 3 THEN 'PENDING_APPROVAL'
                         WHEN rowid % 23 = 0 THEN 'REJECTED' ELSE 'APPROVED' END,
    empresa = 'Comercializadora ' || apellido || ' S.A.S.',
    business_name = iif(rowid = 5, 'Tienda Demo', 'Almacén ' || nombre || ' ' || apellido),
    business_description = 'Envíos a todo el país desde ' || ciudad, website_url = 'https://tienda' || rowid || '.mestore.co',
    banco = iif(rowid % 3, 'Bancolombia', 'Davivienda'), bank_name = iif(rowid % 3, 'Bancolombia', 'Davivienda'),
    tipo_cuenta = iif(rowid % 3, 'AHORROS', 'CORRIENTE'), numero_cuenta = printf('%011d', rowid * 48271),
    account_number = printf('%011d', rowid * 48271), account_holder_name = nombre || ' ' || apellido,
    shipping_policy = 'Despacho en 24 horas hábiles', return_policy = 'Devoluciones hasta 30 días',
    social_media_links = json_object('instagram', '@almacen' || rowid),
    business_hours = json_object('lunes_viernes', '08:00-18:00', 'sabado', '09:00-14:00')
WHERE user_type = 'VENDOR';

-- The twenty administrators are the employees EMP-0001 to EMP-0020, test admins first: a statement that needs
-- one of them takes employee x % 20 + 1.
UPDATE users SET
    employee_id = printf('EMP-%04d', (SELECT count(*) FROM users x
                                      WHERE x.user_type IN ('ADMIN', 'SUPERUSER') AND x.rowid <= users.rowid)),
    security_clearance_level = iif(user_type = 'ADMIN', 4, 5), performance_score = 80 + rowid % 20,
    department_id = iif(rowid % 2, 'OPERACIONES', 'FINANZAS')
WHERE user_type IN ('ADMIN', 'SUPERUSER');

UPDATE users SET
    google_id = printf('10%019d', rowid * 7919), google_email = email, google_name = nombre || ' ' || apellido,
    google_picture = 'https://lh3.googleusercontent.com/a/' || rowid, google_verified_email = 1,
    oauth_provider = 'google', oauth_linked_at = datetime(created_at, '+2 days')
WHERE rowid % 13 = 2;

-- What a reset of an account has to restore: every third user has a one-time code pending, every fifth a
-- password reset, every fourteenth is locked out, most have logged in. The others are clean already.
UPDATE users SET
    otp_secret = printf('%06d', rowid * 739391 % 1000000), otp_type = iif(rowid % 2, 'EMAIL', 'SMS'), otp_attempts = rowid % 4,
    last_otp_sent = datetime(created_at, '+1 day'), otp_expires_at = datetime(created_at, '+1 day', '+10 minutes')
WHERE rowid % 3 = 1;
UPDATE users SET
    reset_token = printf('rst_%08x', rowid * 2654435761 % 4294967296), reset_attempts = rowid % 3 + 1,
    last_reset_request = datetime(created_at, '+9 days'), reset_token_expires_at = datetime(created_at, '+9 days', '+1 hour')
WHERE rowid % 5 = 1;
UPDATE users SET failed_login_attempts = 5, account_locked_until = datetime(created_at, '+12 days') WHERE rowid % 14 = 0;
UPDATE users SET last_login = min(datetime(created_at, '+' || (rowid % 120 + 1) || ' days'), '2025-09-29 21:40:00')
WHERE rowid % 6 <> 0 AND rowid <> 9;

-- What no reset changes: permissions, settings, categories ----------------------------------------

WITH recursos(k, recurso, nombre) AS (VALUES
    (0, 'USERS', 'usuarios'), (1, 'VENDORS', 'vendedores'), (2, 'ORDERS', 'pedidos'), (3, 'PRODUCTS', 'productos'),
    (4, 'INVENTORY', 'inventario'), (5, 'TRANSACTIONS', 'transacciones'), (6, 'COMMISSIONS', 'comisiones'),
    (7, 'REPORTS', 'reportes'), (8, 'SETTINGS', 'configuración'), (9, 'AUDIT_LOGS', 'auditoría'),
    (10, 'NOTIFICATIONS', 'notificaciones'), (11, 'PAYMENTS', 'pagos'), (12, 'STORAGE', 'bodegas'),
    (13, 'ANALYTICS', 'analítica'), (14, 'PERMISSIONS', 'permisos')),
acciones(k, accion, nombre, alcance, nivel, riesgo) AS (VALUES
    (1, 'READ', 'Ver', 'READ_ONLY', 1, 'LOW'), (2, 'UPDATE', 'Modificar', 'GLOBAL', 3, 'MEDIUM'),
    (3, 'MANAGE', 'Administrar', 'SYSTEM', 5, 'CRITICAL'))
INSERT INTO admin_permissions (
    id, name, display_name, description, resource_type, action, scope, required_clearance_level, requires_mfa,
    is_system_permission, category, tags, conditions, risk_level, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 3, r.k * 3 + a.k), lower(recurso || '.' || accion || '.' || alcance),
       a.nombre || ' ' || r.nombre, 'Permite ' || lower(a.nombre) || ' ' || r.nombre || ' en el panel', recurso, accion,
       alcance, nivel, nivel = 5, nivel = 5, 'panel', json_array('panel', lower(recurso)),
       iif(nivel = 5, json_object('horario', 'laboral'), NULL), riesgo, '2024-01-02 09:00:00', '2024-01-02 09:00:00'
FROM recursos r, acciones a ORDER BY r.k, a.k;

-- Granted by the company's superuser, by a test superuser (a mention: the grant outlives him), or by the
-- installation (nobody).
INSERT INTO admin_user_permissions (user_id, permission_id, granted_by_id, granted_at, expires_at, is_active)
SELECT a.id, p.id, (SELECT id FROM users WHERE rowid = CASE (a.rowid + p.rowid) % 3 WHEN 0 THEN 101 WHEN 1 THEN 97 END),
       datetime(a.created_at, '+1 day'), iif(p.rowid % 4 = 0, '2026-12-31 23:59:59', NULL), p.rowid % 10 <> 0
FROM users a JOIN admin_permissions p ON (a.rowid * 3 + p.rowid) % 10 = 0
WHERE a.employee_id IS NOT NULL ORDER BY a.rowid, p.rowid;

INSERT INTO system_settings (
    key, value, category, data_type, description, default_value, is_public, is_editable, last_modified_by, created_at,
    updated_at)
SELECT column1, column2, column3, column4, column5, column2, column3 = 'general', column1 <> 'moneda',
       iif(column3 = 'pagos', 1, NULL), '2024-01-02 09:00:00', '2025-06-15 10:30:00'
FROM (VALUES
    ('nombre_sitio', 'MeStore', 'general', 'string', 'Nombre público de la tienda'),
    ('moneda', 'COP', 'general', 'string', 'Moneda de todos los precios'),
    ('zona_horaria', 'America/Bogota', 'general', 'string', 'Zona horaria de los reportes'),
    ('correo_soporte', 'soporte@mestore.co', 'general', 'string', 'Correo de atención al cliente'),
    ('iva_porcentaje', '19', 'pagos', 'float', 'IVA aplicado a las ventas'),
    ('comision_estandar', '0.08', 'pagos', 'float', 'Comisión estándar de la plataforma'),
    ('pasarela', 'wompi', 'pagos', 'string', 'Pasarela de pagos activa'),
    ('retiro_minimo', '50000', 'pagos', 'integer', 'Monto mínimo de un retiro de vendedor'),
    ('envio_gratis_desde', '200000', 'envios', 'integer', 'Compra mínima para envío gratis'),
    ('transportadora', 'Servientrega', 'envios', 'string', 'Transportadora por defecto'),
    ('otp_minutos', '10', 'seguridad', 'integer', 'Vigencia de un código de verificación'),
    ('modo_mantenimiento', 'false', 'sistema', 'boolean', 'Cierra la tienda al público'));

-- Three levels deep, so that parent_id refers to a row of the same table twice over.
WITH RECURSIVE lista(k, padre, slug, nombre) AS (VALUES
    (1, NULL, 'tecnologia', 'Tecnología'), (2, NULL, 'hogar', 'Hogar'), (3, NULL, 'moda', 'Moda'),
    (4, NULL, 'deportes', 'Deportes'), (5, NULL, 'alimentos', 'Alimentos'), (6, NULL, 'belleza', 'Belleza'),
    (7, NULL, 'artesanias', 'Artesanías'), (8, 1, 'celulares-y-tablets', 'Celulares y tablets'),
    (9, 1, 'computadores', 'Computadores'), (10, 1, 'audio-y-video', 'Audio y video'), (11, 2, 'cocina', 'Cocina'),
    (12, 2, 'dormitorio', 'Dormitorio'), (13, 3, 'ropa-hombre', 'Ropa de hombre'), (14, 3, 'ropa-mujer', 'Ropa de mujer'),
    (15, 3, 'calzado', 'Calzado'), (16, 4, 'ciclismo', 'Ciclismo'), (17, 4, 'camping', 'Camping'),
    (18, 5, 'cafe-y-chocolate', 'Café y chocolate'), (19, 5, 'dulces-tipicos', 'Dulces típicos'),
    (20, 6, 'cuidado-de-la-piel', 'Cuidado de la piel'), (21, 8, 'smartphones', 'Smartphones'), (22, 8, 'tablets', 'Tablets'),
    (23, 8, 'accesorios-celular', 'Accesorios'), (24, 9, 'portatiles', 'Portátiles'), (25, 9, 'perifericos', 'Periféricos'),
    (26, 10, 'audifonos', 'Audífonos'), (27, 10, 'televisores', 'Televisores'), (28, 11, 'ollas-y-sartenes', 'Ollas y sartenes'),
    (29, 11, 'electrodomesticos', 'Electrodomésticos'), (30, 12, 'ropa-de-cama', 'Ropa de cama'), (31, 13, 'camisas', 'Camisas'),
    (32, 13, 'jeans', 'Jeans'), (33, 14, 'vestidos', 'Vestidos'), (34, 14, 'blusas', 'Blusas'), (35, 15, 'tenis', 'Tenis'),
    (36, 16, 'bicicletas', 'Bicicletas'), (37, 16, 'accesorios-ciclismo', 'Accesorios de ciclismo'), (38, 17, 'carpas', 'Carpas'),
    (39, 18, 'cafe-especial', 'Café especial'), (40, 18, 'chocolate-de-mesa', 'Chocolate de mesa'),
    (41, 19, 'bocadillo', 'Bocadillo'), (42, 20, 'bloqueadores', 'Bloqueadores')),
arbol(k, padre, slug, nombre, nivel, ruta) AS (
    SELECT k, padre, slug, nombre, 0, '/' || slug FROM lista WHERE padre IS NULL
    UNION ALL
    SELECT l.k, l.padre, l.slug, l.nombre, nivel + 1, ruta || '/' || l.slug FROM arbol a JOIN lista l ON l.padre = a.k)
INSERT INTO categories (
    id, name, slug, description, parent_id, path, level, sort_order, meta_title, display_config, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 2, k), nombre, slug, 'Todo en ' || lower(nombre),
       iif(padre IS NULL, NULL, printf('%08x-0000-4000-8000-%012x', 2, padre)), ruta, nivel, k, nombre || ' | MeStore',
       '{"columnas":4}', '2024-01-02 09:00:00', '2024-01-02 09:00:00'
FROM arbol ORDER BY k;

-- Catalogue ---------------------------------------------------------------------------------------
-- 40 articles in ten presentations. The first fourteen are Tienda Demo's; every fiftieth belongs to no
-- vendor (the company's own). Who created or last edited a product is a mention and is often somebody else:
-- a test admin edited real vendors' products, and the other way round.

WITH RECURSIVE n(p) AS (VALUES (1) UNION ALL SELECT p + 1 FROM n WHERE p < 400),
articulos(k, categoria, nombre, precio, peso) AS (VALUES
    (0, 21, 'Celular Samsung Galaxy A15 128 GB', 699900, 0.2), (1, 21, 'Celular Motorola Moto G54', 799900, 0.2),
    (2, 21, 'Celular Xiaomi Redmi Note 13', 849900, 0.2), (3, 22, 'Tablet Lenovo Tab M10', 729900, 0.5),
    (4, 22, 'Tablet Samsung Galaxy Tab A9', 779900, 0.4), (5, 23, 'Cargador rápido USB-C 25 W', 59900, 0.1),
    (6, 23, 'Forro de silicona para celular', 24900, 0.05), (7, 24, 'Portátil Asus Vivobook 15', 1999900, 1.7),
    (8, 24, 'Portátil HP 14 Ryzen 5', 2149900, 1.5), (9, 25, 'Mouse inalámbrico Logitech M170', 44900, 0.1),
    (10, 25, 'Teclado mecánico Redragon Kumara', 169900, 0.9), (11, 26, 'Audífonos Bluetooth JBL Tune 520', 189900, 0.2),
    (12, 26, 'Diadema HyperX Cloud Stinger', 219900, 0.3), (13, 27, 'Televisor Kalley 43 pulgadas', 999900, 8.5),
    (14, 27, 'Televisor LG 55 pulgadas 4K', 2199900, 15), (15, 28, 'Olla a presión Imusa 6 litros', 159900, 2.6),
    (16, 28, 'Juego de sartenes Universal x3', 119900, 2.1), (17, 29, 'Freidora de aire Oster 4 litros', 349900, 4.8),
    (18, 29, 'Licuadora Oster clásica', 259900, 3.9), (19, 30, 'Juego de sábanas doble 180 hilos', 84900, 1.4),
    (20, 30, 'Edredón doble faz', 139900, 2.2), (21, 31, 'Guayabera de lino', 129900, 0.3),
    (22, 31, 'Camiseta polo en algodón', 69900, 0.25), (23, 32, 'Jean clásico', 109900, 0.6),
    (24, 33, 'Vestido midi estampado', 119900, 0.4), (25, 33, 'Vestido de baño entero', 94900, 0.2),
    (26, 34, 'Blusa bordada de Cartago', 99900, 0.2), (27, 34, 'Ruana de Nobsa', 149900, 0.9),
    (28, 35, 'Tenis para correr', 199900, 0.7), (29, 35, 'Tenis de cuero blancos', 179900, 0.8),
    (30, 36, 'Bicicleta de ruta GW', 1899900, 10.5), (31, 36, 'Bicicleta de montaña GW', 1399900, 13.8),
    (32, 37, 'Casco de ciclismo con luz', 89900, 0.4), (33, 38, 'Carpa para cuatro personas', 249900, 3.7),
    (34, 39, 'Café especial del Huila 500 g', 38900, 0.5), (35, 39, 'Café de origen Nariño 340 g', 34900, 0.34),
    (36, 40, 'Chocolate de mesa santandereano 500 g', 15900, 0.5), (37, 41, 'Bocadillo veleño x18', 12900, 0.6),
    (38, 42, 'Bloqueador solar FPS 50', 54900, 0.15), (39, 7, 'Mochila wayuu tejida a mano', 189900, 0.5)),
presentaciones(k, presentacion) AS (VALUES
    (0, ''), (1, ', combo x2'), (2, ', edición 2025'), (3, ', empaque de regalo'), (4, ', oferta'), (5, ', outlet'),
    (6, ', importación directa'), (7, ', garantía extendida'), (8, ', nueva referencia'), (9, ', exclusivo web')),
vendedores AS (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS k, count(*) OVER () AS total FROM users WHERE user_type = 'VENDOR'),
ficha AS (
    SELECT p, a.nombre || presentacion AS nombre, a.categoria, peso, precio + pr.k * 2000 AS venta, ad.id AS administrador,
           CASE WHEN p <= 14 THEN printf('%08x-0000-4000-8000-%012x', 1, 5) WHEN p % 50 <> 0 THEN v.id END AS dueno
    FROM n JOIN articulos a ON a.k = p % 40 JOIN presentaciones pr ON pr.k = (p - 1) / 40
    JOIN vendedores v ON v.k = p * 11 % v.total JOIN users ad ON ad.employee_id = printf('EMP-%04d', p * 7 % 20 + 1))
INSERT INTO products (
    id, sku, vendedor_id, created_by_id, updated_by_id, version, name, description, status, precio_venta, precio_costo,
    comision_mestocker, peso, dimensiones, categoria, tags, created_at, updated_at, deleted_at)
SELECT printf('%08x-0000-4000-8000-%012x', 4, p), printf('MST-%05d', p), dueno,
       CASE WHEN p % 5 = 0 THEN administrador WHEN p % 5 < 4 THEN dueno END, iif(p % 4 = 2, administrador, NULL), p % 4 + 1,
       f.nombre, f.nombre || '. Producto nuevo, con factura.',
       CASE p % 20 WHEN 3 THEN 'DRAFT' WHEN 7 THEN 'PENDING' WHEN 11 THEN 'TRANSITO' WHEN 13 THEN 'VERIFICADO'
                   WHEN 17 THEN 'INACTIVE' WHEN 18 THEN 'REJECTED' WHEN 19 THEN 'APPROVED' ELSE 'DISPONIBLE' END,
       venta, round(venta * 0.7, -2), round(venta * 0.08), peso,
       printf('%dx%dx%d cm', p % 30 + 10, p % 20 + 10, p % 12 + 4), c.name, c.slug || ',mestore',
       datetime('2024-06-01 09:00:00', '+' || (p * 3 % 260) || ' days'),
       datetime('2025-03-01 09:00:00', '+' || (p % 150) || ' days'), iif(p % 80 = 37, '2025-08-01 12:00:00', NULL)
FROM ficha f JOIN categories c ON c.rowid = f.categoria ORDER BY p;

-- Each product in the category that it names, every third also in the one above.
WITH lugar AS (
    SELECT p.rowid AS p, p.id, c.id AS categoria, 1 AS principal FROM products p JOIN categories c ON c.name = p.categoria
    UNION ALL
    SELECT p.rowid, p.id, c.parent_id, 0 FROM products p JOIN categories c ON c.name = p.categoria
    WHERE p.rowid % 3 = 0 AND c.parent_id IS NOT NULL)
INSERT INTO product_categories (id, product_id, category_id, is_primary, sort_order, assigned_by_id, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 6, row_number() OVER (ORDER BY p, principal DESC)), l.id, categoria, principal,
       p % 10, iif(p % 2, a.id, NULL), '2025-03-01 09:00:00', '2025-03-01 09:00:00'
FROM lugar l JOIN users a ON a.employee_id = printf('EMP-%04d', p * 3 % 20 + 1) ORDER BY p, principal DESC;

UPDATE categories SET product_count = (SELECT count(*) FROM product_categories pc WHERE pc.category_id = categories.id);

WITH foto AS (
    SELECT id, sku, created_at, toma, row_number() OVER (ORDER BY sku, toma) AS f
    FROM products p, (SELECT 0 AS toma UNION ALL SELECT 1) WHERE toma <= p.rowid % 2)
INSERT INTO product_images (
    id, product_id, filename, original_filename, file_path, file_size, mime_type, width, height, order_index, resolution,
    is_primary, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 5, f), id, lower(sku) || '-' || toma || '.webp', 'IMG_' || (4000 + f) || '.jpg',
       'uploads/products/' || lower(sku) || '/' || toma || '.webp', 48000 + f * 137, 'image/webp', 1200, 1200, toma,
       iif(f % 4, 'original', 'large'), toma = 0, created_at, created_at
FROM foto ORDER BY f;

-- Warehouse ---------------------------------------------------------------------------------------
-- A vendor's storage is found only through its owner (storages.vendedor_id is nullable, and the only way
-- in). Tienda Demo has two; the last five storages are the company's own.

WITH bodega(id, grupo) AS (
    SELECT id, 0 FROM users WHERE user_type = 'VENDOR' UNION ALL SELECT id, 1 FROM users WHERE rowid = 5
    UNION ALL SELECT NULL, column1 FROM (VALUES (2), (3), (4), (5), (6))),
numerada AS (SELECT *, row_number() OVER (ORDER BY grupo, id) AS s FROM bodega)
INSERT INTO storages (
    id, tipo, capacidad_max, vendedor_id, productos_actuales, ocupacion_actual, ultima_actualizacion, tarifa_mensual,
    tarifa_por_producto, fecha_inicio, fecha_fin, renovacion_automatica, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 7, s),
       CASE s % 4 WHEN 0 THEN 'ESPECIAL' WHEN 1 THEN 'PEQUENO' WHEN 2 THEN 'MEDIANO' ELSE 'GRANDE' END,
       50 * (s % 4 + 1), id, s % 20, round((s % 20) * 100.0 / (50 * (s % 4 + 1)), 2), '2025-09-15 07:00:00',
       iif(id IS NULL, NULL, 90000 + s % 4 * 60000), iif(id IS NULL, NULL, 350), '2025-01-01 00:00:00',
       iif(id IS NULL, NULL, '2025-12-31 00:00:00'), s % 2, '2024-12-20 10:00:00', '2025-09-15 07:00:00'
FROM numerada ORDER BY s;

-- One place per product, every fifth product has two. Mostly in the owner's storage; one in eight lies in
-- another vendor's, so a test vendor's storage holds real vendors' goods and the reverse.
WITH RECURSIVE n(k) AS (VALUES (1) UNION ALL SELECT k + 1 FROM n WHERE k < 480)
INSERT INTO inventory (
    id, product_id, status, condicion_producto, notas_almacen, zona, estante, posicion, cantidad, cantidad_reservada,
    updated_by_id, storage_id, fecha_ingreso, fecha_ultimo_movimiento, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 8, k), p.id,
       CASE k % 12 WHEN 0 THEN 'RESERVADO' WHEN 5 THEN 'EN_PICKING' WHEN 9 THEN 'DESPACHADO' ELSE 'DISPONIBLE' END,
       CASE k % 25 WHEN 0 THEN 'USADO_BUENO' WHEN 7 THEN 'USADO_EXCELENTE' WHEN 19 THEN 'DAÑADO' ELSE 'NUEVO' END,
       iif(k % 15 = 0, 'Revisar empaque antes de despachar', NULL), char(65 + k % 5), printf('%02d', k % 24 + 1),
       printf('%03d', k), k * 3 % 60 + 4, k % 4, iif(k % 3 = 1, a.id, NULL),
       CASE WHEN k % 10 = 7 THEN NULL WHEN k % 8 = 3 THEN printf('%08x-0000-4000-8000-%012x', 7, k * 11 / 8 % 100 + 1)
            ELSE (SELECT s.id FROM storages s WHERE s.vendedor_id = p.vendedor_id ORDER BY s.id LIMIT 1) END,
       datetime(p.created_at, '+5 days'), '2025-08-20 16:00:00', datetime(p.created_at, '+5 days'), '2025-08-20 16:00:00'
FROM n JOIN products p ON p.rowid = iif(k <= 400, k, (k - 400) * 5)
JOIN users a ON a.employee_id = printf('EMP-%04d', k * 7 % 20 + 1) ORDER BY k;

-- Goods come in, some go out, some are moved. Who did it: nobody known, an admin, the owner, or a robot.
WITH clases(orden, tipo, cada, dias) AS (VALUES
    (1, 'INGRESO', 1, 0), (2, 'SALIDA', 3, 20), (3, 'TRANSFERENCIA', 12, 35), (4, 'AJUSTE_NEGATIVO', 30, 50)),
paso AS (
    SELECT i.id AS lugar, cantidad, zona, vendedor_id, tipo, row_number() OVER (ORDER BY i.id, orden) AS m,
           datetime(fecha_ingreso, '+' || dias || ' days') AS fecha
    FROM inventory i JOIN products p ON p.id = i.product_id JOIN clases ON i.rowid % cada = 0)
INSERT INTO movimientos_stock (
    id, inventory_id, tipo_movimiento, cantidad_anterior, cantidad_nueva, user_id, observaciones, fecha_movimiento,
    referencia_externa, lote, ubicacion_origen, ubicacion_destino, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 9, m), lugar, tipo,
       CASE tipo WHEN 'INGRESO' THEN 0 WHEN 'TRANSFERENCIA' THEN cantidad ELSE cantidad + 2 END, cantidad,
       CASE m % 5 WHEN 1 THEN a.id WHEN 2 THEN a.id WHEN 3 THEN s.vendedor_id
                  WHEN 4 THEN printf('%08x-0000-4000-8000-%012x', 1, iif(m % 3, 297, 100)) END,
       iif(tipo = 'AJUSTE_NEGATIVO', 'Diferencia en conteo físico', NULL), fecha,
       iif(m % 4 = 0, printf('GUIA-%07d', m * 311), NULL), printf('L%04d', m % 90 + 1),
       iif(tipo = 'INGRESO', 'Recepción', 'Zona ' || zona), iif(tipo = 'SALIDA', 'Despachos', 'Zona ' || zona), fecha, fecha
FROM paso s JOIN users a ON a.employee_id = printf('EMP-%04d', m * 3 % 20 + 1) ORDER BY m;

-- Every third movement was explained by an admin or by the owner, who need not be the one that did it.
WITH mov AS (
    SELECT m.*, m.rowid / 3 AS t, p.vendedor_id
    FROM movimientos_stock m JOIN inventory i ON i.id = m.inventory_id JOIN products p ON p.id = i.product_id
    WHERE m.rowid % 3 = 0)
INSERT INTO movement_tracker (
    id, movement_id, user_id, user_name, action_type, previous_data, new_data, ip_address, session_id, location_from,
    location_to, batch_id, notes, action_timestamp, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 10, t), mov.id, u.id, u.nombre || ' ' || u.apellido, iif(t % 2, 'CREATE', 'UPDATE'),
       iif(t % 2, NULL, json_object('cantidad', cantidad_anterior)), json_object('cantidad', cantidad_nueva),
       printf('190.24.%d.%d', t % 200 + 1, t * 7 % 250 + 1), printf('web-%06x', t * 9973),
       json_object('lugar', ubicacion_origen), json_object('lugar', ubicacion_destino),
       iif(t % 6 = 0, printf('%08x-0000-4000-8000-%012x', 255, t / 30), NULL),
       iif(t % 9 = 0, 'Registrado desde la bodega', NULL), fecha_movimiento, fecha_movimiento, fecha_movimiento
FROM mov JOIN users a ON a.employee_id = printf('EMP-%04d', t % 20 + 1)
JOIN users u ON u.id = iif(t % 4 < 2, a.id, coalesce(mov.vendedor_id, a.id)) ORDER BY t;

INSERT INTO incidentes_inventario (
    id, inventory_id, tipo_incidente, estado, descripcion, reportado_por, fecha_incidente, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 11, i.rowid / 15), i.id, iif(i.rowid % 2, 'PERDIDO', 'DAÑADO'),
       CASE i.rowid % 4 WHEN 0 THEN 'REPORTADO' WHEN 1 THEN 'EN_INVESTIGACION' WHEN 2 THEN 'RESUELTO' ELSE 'CERRADO' END,
       iif(i.rowid % 2, 'No apareció en su posición durante el conteo', 'Caja golpeada al descargar'),
       'bodega.' || lower(zona) || '@mestore.co',
       datetime(fecha_ingreso, '+40 days'), datetime(fecha_ingreso, '+40 days'), datetime(fecha_ingreso, '+41 days')
FROM inventory i WHERE i.rowid % 15 = 0 ORDER BY i.rowid;

-- Deliveries on their way. One in seven is brought by another vendor than the product's own.
WITH llegada AS (SELECT *, (rowid + 3) / 4 AS q FROM products WHERE rowid % 4 = 1 AND vendedor_id IS NOT NULL),
vendedores AS (
    SELECT id, row_number() OVER (ORDER BY id) - 1 AS k, count(*) OVER () AS total FROM users WHERE user_type = 'VENDOR')
INSERT INTO incoming_product_queue (
    id, product_id, vendor_id, expected_arrival, actual_arrival, verification_status, priority, assigned_to, assigned_at,
    deadline, tracking_number, carrier, is_delayed, delay_reason, notes, quality_score, verification_attempts,
    created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 12, q), l.id, iif(q % 7 = 1, v.id, vendedor_id), '2025-10-03 10:00:00',
       iif(q % 5 = 4, '2025-09-28 11:20:00', NULL),
       CASE q % 5 WHEN 0 THEN 'PENDING' WHEN 1 THEN 'ASSIGNED' WHEN 2 THEN 'IN_PROGRESS' WHEN 3 THEN 'QUALITY_CHECK'
                  ELSE 'COMPLETED' END,
       CASE q % 7 WHEN 0 THEN 'HIGH' WHEN 3 THEN 'EXPEDITED' WHEN 5 THEN 'LOW' ELSE 'NORMAL' END,
       iif(q % 5, a.id, NULL), iif(q % 5, '2025-09-26 08:30:00', NULL), '2025-10-06 18:00:00', printf('SER%09d', q * 7919),
       iif(q % 2, 'Servientrega', 'Coordinadora'), q % 9 = 5, iif(q % 9 = 5, 'TRANSPORT', NULL),
       iif(q % 6 = 1, 'Llega en estibas', NULL), iif(q % 5 = 4, 7 + q % 4, NULL), q % 3, '2025-09-25 09:00:00',
       '2025-09-26 08:30:00'
FROM llegada l JOIN vendedores v ON v.k = q * 13 % v.total JOIN users a ON a.employee_id = printf('EMP-%04d', q * 3 % 20 + 1)
ORDER BY q;

-- Counts of the stock: the auditor owns the audit, though it covers everybody's goods. Every second report
-- was drawn up by a colleague.
WITH RECURSIVE n(a, inicio) AS (
    SELECT 1, '2025-02-18 08:00:00' UNION ALL SELECT a + 1, datetime(inicio, '+15 days') FROM n WHERE a < 14)
INSERT INTO inventory_audits (
    id, nombre, descripcion, status, fecha_inicio, fecha_fin, auditor_id, audit_type, discrepancies_found,
    total_items_auditados, discrepancias_encontradas, valor_discrepancias, notas, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 13, n.a), 'Conteo cíclico ' || n.a, 'Conteo de la zona ' || char(65 + n.a % 5),
       CASE n.a % 4 WHEN 0 THEN 'INICIADA' WHEN 1 THEN 'EN_PROCESO' WHEN 2 THEN 'COMPLETADA' ELSE 'RECONCILIADA' END,
       inicio, iif(n.a % 4 >= 2, datetime(inicio, '+57 hours'), NULL), ad.id, 'physical', 3, 15, 3, n.a * 45900.0,
       iif(n.a % 3 = 0, 'Se cuenta con la zona cerrada', NULL), datetime(inicio, '-2 days'), datetime(inicio, '+57 hours')
FROM n JOIN users ad ON ad.employee_id = printf('EMP-%04d', n.a * 3 % 20 + 1) ORDER BY n.a;

WITH RECURSIVE n(j) AS (VALUES (1) UNION ALL SELECT j + 1 FROM n WHERE j < 15)
INSERT INTO inventory_audit_items (
    id, audit_id, inventory_id, cantidad_sistema, ubicacion_sistema, condicion_sistema, cantidad_fisica, ubicacion_fisica,
    condicion_fisica, conteo_completado, tiene_discrepancia, tipo_discrepancia, diferencia_cantidad, valor_discrepancia,
    fecha_conteo, notas_conteo, reconciliado)
SELECT printf('%08x-0000-4000-8000-%012x', 14, (a.rowid - 1) * 15 + j), a.id, i.id, i.cantidad, i.zona || '-' || i.estante,
       i.condicion_producto, i.cantidad - (j % 5 = 0), i.zona || '-' || i.estante, i.condicion_producto, 1, j % 5 = 0,
       iif(j % 5 = 0, 'FALTANTE', NULL), -(j % 5 = 0), iif(j % 5 = 0, 45900.0, NULL), datetime(fecha_inicio, '+4 hours'),
       iif(j % 5 = 0, 'Falta una unidad', NULL), j % 10 = 0
FROM inventory_audits a, n JOIN inventory i ON i.rowid = (a.rowid * 97 + j * 31) % 480 + 1 ORDER BY a.rowid, j;

WITH RECURSIVE n(r) AS (VALUES (1) UNION ALL SELECT r + 1 FROM n WHERE r < 21)
INSERT INTO discrepancy_reports (
    id, audit_id, report_type, report_name, description, generated_by_id, generated_by_name, date_range_start,
    date_range_end, total_discrepancies, total_adjustments, financial_impact, accuracy_percentage, items_analyzed,
    file_path, file_format, file_size, status, analysis_data, report_config, generation_time_seconds, created_at,
    completed_at)
SELECT printf('%08x-0000-4000-8000-%012x', 15, r), au.id,
       CASE r % 3 WHEN 0 THEN 'DISCREPANCIES' WHEN 1 THEN 'FINANCIAL_IMPACT' ELSE 'COMPREHENSIVE' END,
       'Informe ' || r || ' de ' || lower(au.nombre), 'Diferencias entre sistema y bodega', u.id, u.nombre || ' ' || u.apellido,
       au.fecha_inicio, datetime(au.fecha_inicio, '+3 days'), 3, 1, r * 45900.0, 80.0, 15,
       iif(r % 7, 'reports/discrepancies/informe-' || r || iif(r % 2, '.pdf', '.csv'), NULL), iif(r % 2, 'PDF', 'CSV'),
       iif(r % 7, 90000 + r * 1500, NULL), iif(r % 7, 'COMPLETED', 'GENERATING'), json_object('faltantes', 3),
       json_object('zona', char(65 + r % 5)), 2.5, datetime(au.fecha_inicio, '+3 days'),
       iif(r % 7, datetime(au.fecha_inicio, '+3 days', '+3 minutes'), NULL)
FROM n JOIN inventory_audits au ON au.rowid = r % 14 + 1 JOIN users ad ON ad.employee_id = printf('EMP-%04d', r * 7 % 20 + 1)
JOIN users u ON u.id = iif(r % 2, au.auditor_id, ad.id) ORDER BY r;

-- Orders and payments -----------------------------------------------------------------------------
-- María has the first twelve orders; the others are spread unevenly, as orders are, and one in forty is a
-- vendor's own purchase. Test buyers mostly buy from test vendors and real ones from real vendors; one line
-- in eight crosses over. Totals are filled in from the lines.

WITH RECURSIVE n(o) AS (VALUES (1) UNION ALL SELECT o + 1 FROM n WHERE o < 620),
regiones(ciudad, departamento, postal) AS (VALUES
    ('Bogotá', 'Cundinamarca', '110111'), ('Medellín', 'Antioquia', '050001'), ('Cali', 'Valle del Cauca', '760001'),
    ('Barranquilla', 'Atlántico', '080001'), ('Bucaramanga', 'Santander', '680001'), ('Pereira', 'Risaralda', '660001'),
    ('Cartagena', 'Bolívar', '130001'), ('Manizales', 'Caldas', '170001'), ('Pasto', 'Nariño', '520001'),
    ('Ibagué', 'Tolima', '730001')),
clientes AS (
    SELECT *, row_number() OVER (PARTITION BY user_type ORDER BY id) - 1 AS k, count(*) OVER (PARTITION BY user_type) AS total
    FROM users WHERE user_type IN ('BUYER', 'VENDOR') AND deleted_at IS NULL AND email <> 'nuevo.usuario@test.com'),
pedido AS (
    SELECT n.o, c.id AS cliente, c.nombre || ' ' || c.apellido AS nombre, c.telefono, c.email, c.direccion, r.*,
           CASE o % 12 WHEN 0 THEN 'CANCELLED' WHEN 1 THEN 'PENDING' WHEN 2 THEN 'CONFIRMED' WHEN 3 THEN 'PROCESSING'
                       WHEN 4 THEN 'SHIPPED' WHEN 5 THEN 'SHIPPED' WHEN 11 THEN 'REFUNDED' ELSE 'DELIVERED' END AS estado,
           o % 12 BETWEEN 4 AND 11 AS enviado,
           max(datetime('2025-03-01 08:00:00', '+' || (o * 5 % 180) || ' days', '+' || (o * 97 % 780) || ' minutes'),
               datetime(c.created_at, '+1 hour', '+' || (o % 50) || ' minutes')) AS fecha
    FROM n JOIN clientes c ON c.user_type = iif(o % 40 = 0, 'VENDOR', 'BUYER')
                          AND c.k = iif(o <= 12, 0, (o * o + o / 3) % c.total)
    JOIN regiones r USING (ciudad))
INSERT INTO orders (
    id, order_number, buyer_id, discount_amount, total_amount, status, created_at, updated_at, confirmed_at, shipped_at,
    delivered_at, cancelled_at, cancellation_reason, shipping_name, shipping_phone, shipping_email, shipping_address,
    shipping_city, shipping_state, shipping_postal_code, notes, tracking_number, courier, estimated_delivery,
    shipping_events)
SELECT o, printf('MST-2025-%06d', o), cliente, iif(o % 10 = 0, 10000, 0), 0, estado, fecha, datetime(fecha, '+6 days'),
       iif(estado NOT IN ('PENDING', 'CANCELLED'), datetime(fecha, '+1 hour'), NULL),
       iif(enviado, datetime(fecha, '+1 day'), NULL),
       iif(estado IN ('DELIVERED', 'REFUNDED'), datetime(fecha, '+4 days'), NULL),
       iif(estado = 'CANCELLED', datetime(fecha, '+2 hours'), NULL),
       iif(estado = 'CANCELLED', 'El comprador desistió', NULL), nombre, telefono, email, direccion, ciudad, departamento,
       postal, iif(o % 11 = 0, 'Dejar en portería', NULL), iif(enviado, printf('SER%010d', o * 7919), NULL),
       iif(enviado, 'Servientrega', NULL), datetime(fecha, '+5 days'),
       iif(enviado, json_array(json_object('estado', 'RECOGIDO', 'fecha', datetime(fecha, '+1 day'))), '[]')
FROM pedido ORDER BY o;

WITH linea AS (
    SELECT o.id AS o, j, o.created_at,
           (o.buyer_id < '00000001-0000-4000-8000-000000000065') <> ((o.id * 3 + j) % 8 = 0) AS prueba
    FROM orders o, (SELECT 0 AS j UNION ALL SELECT 1 UNION ALL SELECT 2) WHERE j <= o.id % 3),
surtido AS (
    SELECT *, row_number() OVER (PARTITION BY prueba ORDER BY sku) - 1 AS k, count(*) OVER (PARTITION BY prueba) AS total
    FROM (SELECT *, coalesce(vendedor_id < '00000001-0000-4000-8000-000000000065', 0) AS prueba FROM products
          WHERE status <> 'DRAFT'))
INSERT INTO order_items (
    order_id, product_id, product_name, product_sku, product_image_url, unit_price, quantity, total_price,
    variant_attributes, created_at)
SELECT o, p.id, p.name, p.sku, 'https://cdn.mestore.co/' || lower(p.sku) || '/0.webp', p.precio_venta, (o + j) % 3 + 1,
       p.precio_venta * ((o + j) % 3 + 1), iif(o % 5 = 0, json_object('empaque', 'regalo'), NULL), l.created_at
FROM linea l JOIN surtido p ON p.prueba = l.prueba AND p.k = (o * 7 + j * 31) % p.total ORDER BY o, j;

UPDATE orders SET
    subtotal = s.suma, tax_amount = round(s.suma * 0.19), shipping_cost = iif(s.suma < 200000, 12900, 0),
    total_amount = s.suma + round(s.suma * 0.19) + iif(s.suma < 200000, 12900, 0) - discount_amount
FROM (SELECT order_id, sum(total_price) AS suma FROM order_items GROUP BY order_id) s
WHERE s.order_id = orders.id;

-- Three buyers in four saved a card, every third of all buyers a bank account.
WITH clientes AS (
    SELECT *, row_number() OVER (ORDER BY id) - 1 AS k FROM users
    WHERE user_type = 'BUYER' AND deleted_at IS NULL AND email <> 'nuevo.usuario@test.com')
INSERT INTO payment_methods (
    buyer_id, method_type, is_default, is_active, card_brand, card_last_four, card_exp_month, card_exp_year,
    card_holder_name, pse_bank_code, pse_bank_name, pse_user_type, pse_user_dni, gateway_token, gateway_customer_id,
    created_at, updated_at)
SELECT id, iif(v, 'pse', 'credit_card'), v = 0, k % 19 <> 4, iif(v, NULL, iif(k % 2, 'VISA', 'MASTERCARD')),
       iif(v, NULL, printf('%04d', k * 7919 % 10000)), iif(v, NULL, printf('%02d', k % 12 + 1)),
       iif(v, NULL, 2026 + k % 5), iif(v, NULL, upper(nombre || ' ' || apellido)), iif(v, '1007', NULL),
       iif(v, 'Bancolombia', NULL), iif(v, 'NATURAL', NULL), iif(v, cedula, NULL),
       printf('tok_test_%08x', (k * 2 + v + 1) * 2654435761 % 4294967296), printf('cus_%06d', k),
       datetime(created_at, '+20 minutes'), datetime(created_at, '+20 minutes')
FROM clientes, (SELECT 0 AS v UNION ALL SELECT 1) WHERE iif(v, k % 3 = 0, k % 4 <> 3) ORDER BY k, v;

-- Each order is paid for, one in nine only at the second try. The saved method is a mention: some paid
-- without one, and one in thirty-one with somebody else's card.
WITH intento AS (
    SELECT o.*, vez, datetime(created_at, '+' || (vez * 5) || ' minutes') AS fecha,
           CASE WHEN o.id % 9 = 4 AND vez = 1 THEN 'DECLINED' WHEN status = 'PENDING' THEN 'PENDING'
                WHEN status = 'CANCELLED' THEN 'CANCELLED' ELSE 'APPROVED' END AS resultado,
           (SELECT min(id) FROM payment_methods m WHERE m.buyer_id = o.buyer_id) AS propio
    FROM orders o, (SELECT 1 AS vez UNION ALL SELECT 2) WHERE vez = 1 OR o.id % 9 = 4)
INSERT INTO order_transactions (
    transaction_reference, order_id, amount, status, payment_method_type, payment_method_id, gateway_transaction_id,
    gateway_reference, gateway_response, created_at, processed_at, confirmed_at, failure_reason, failure_code)
SELECT printf('TXN-2025-%06d-%d', id, vez), id, total_amount, resultado,
       CASE id % 4 WHEN 0 THEN 'pse' WHEN 3 THEN 'nequi' ELSE 'credit_card' END,
       CASE WHEN id % 31 = 5 THEN id * 13 % 180 + 1 WHEN id % 4 <> 3 THEN propio END, printf('wompi-%d-%d', 100000 + id, vez),
       printf('REF%07d', id * 10 + vez), json_object('status', resultado, 'ambiente', 'sandbox'), fecha,
       iif(resultado = 'PENDING', NULL, datetime(fecha, '+1 minute')),
       iif(resultado = 'APPROVED', datetime(fecha, '+2 minutes'), NULL),
       iif(resultado = 'DECLINED', 'Fondos insuficientes', NULL), iif(resultado = 'DECLINED', '51', NULL)
FROM intento ORDER BY id, vez;

INSERT INTO payments (
    payment_reference, transaction_id, wompi_transaction_id, wompi_payment_id, amount_in_cents, payment_method_type,
    payment_method, customer_email, customer_data, status, status_message, gateway_response, gateway_created_at,
    gateway_finalized_at, created_at, updated_at)
SELECT printf('PAY-2025-%06d', t.id), t.id, t.gateway_transaction_id, printf('pay_%07d', t.id * 37),
       CAST(round(t.amount * 100) AS INTEGER), t.payment_method_type, json_object('type', upper(t.payment_method_type)),
       o.shipping_email, json_object('full_name', o.shipping_name), t.status, t.failure_reason,
       json_object('id', t.gateway_transaction_id, 'status', t.status), t.created_at, t.processed_at, t.created_at,
       t.processed_at
FROM order_transactions t JOIN orders o ON o.id = t.order_id WHERE t.status IN ('APPROVED', 'DECLINED') ORDER BY t.id;

-- Refunded orders got everything back, some delivered ones a part. A refund names the same transaction as
-- its payment does, so it always goes together with that payment.
INSERT INTO payment_refunds (
    refund_reference, payment_id, transaction_id, refund_amount_in_cents, reason, wompi_refund_id, gateway_response,
    status, created_at, processed_at, completed_at)
SELECT printf('RFD-2025-%06d', p.id), p.id, p.transaction_id,
       iif(o.status = 'REFUNDED', p.amount_in_cents, p.amount_in_cents / 4),
       iif(o.status = 'REFUNDED', 'Producto defectuoso', 'Llegó incompleto'), printf('rfd_%06d', p.id * 41),
       json_object('status', 'APPROVED'), 'APPROVED', datetime(o.delivered_at, '+2 days'),
       datetime(o.delivered_at, '+2 days', '+1 hour'), datetime(o.delivered_at, '+5 days')
FROM payments p JOIN order_transactions t ON t.id = p.transaction_id JOIN orders o ON o.id = t.order_id
WHERE p.status = 'APPROVED' AND (o.status = 'REFUNDED' OR (o.status = 'DELIVERED' AND o.id % 30 = 6)) ORDER BY p.id;

INSERT INTO payment_intents (
    intent_reference, order_id, amount_in_cents, customer_email, billing_data, payment_method_types, redirect_url,
    wompi_payment_link_id, wompi_checkout_url, status, expires_at, created_at, updated_at, completed_at)
SELECT printf('INT-2025-%06d', id), id, CAST(round(total_amount * 100) AS INTEGER), shipping_email,
       json_object('ciudad', shipping_city, 'pais', shipping_country), json_array('CARD', 'PSE', 'NEQUI'),
       'https://mestore.co/pago/' || id, printf('link_%06d', id * 53), printf('https://checkout.wompi.co/l/%06d', id * 53),
       CASE status WHEN 'PENDING' THEN 'created' WHEN 'CANCELLED' THEN 'expired' ELSE 'completed' END,
       datetime(created_at, '+1 day'), created_at, updated_at, confirmed_at
FROM orders WHERE id % 3 <> 2 ORDER BY id;

-- What the gateway told us: one event per payment and per refund, and twelve that matched nothing and so
-- belong to nobody.
WITH aviso AS (
    SELECT transaction_id, iif(status = 'APPROVED', 'PAYMENT_APPROVED', 'PAYMENT_DECLINED') AS tipo,
           amount_in_cents AS centavos, gateway_finalized_at AS fecha, wompi_transaction_id AS externo FROM payments
    UNION ALL
    SELECT transaction_id, 'PAYMENT_REFUNDED', refund_amount_in_cents, processed_at, wompi_refund_id FROM payment_refunds
    UNION ALL
    SELECT NULL, 'TRANSACTION_UPDATED', id * 100000, datetime('2025-07-01 03:00:00', '+' || id || ' days'),
           printf('wompi-ajeno-%02d', id) FROM orders WHERE id <= 12),
numerado AS (SELECT *, transaction_id IS NULL AS ajeno, row_number() OVER (ORDER BY fecha, externo) AS e FROM aviso)
INSERT INTO webhook_events (
    event_id, transaction_id, event_type, event_status, raw_payload, signature, signature_validated, processed_at,
    processing_attempts, processing_error, created_at, gateway_timestamp)
SELECT printf('evt_%06d', e), transaction_id, tipo, iif(ajeno, iif(e % 2, 'IGNORED', 'FAILED'), 'PROCESSED'),
       json_object('event', lower(tipo), 'data', json_object('id', externo, 'amount_in_cents', centavos)),
       printf('%016x', e * 2654435761), NOT ajeno, iif(ajeno, NULL, fecha), 1 + e % 2,
       iif(ajeno, 'Transacción desconocida', NULL), fecha, fecha
FROM numerado ORDER BY e;

-- Marketplace settlement --------------------------------------------------------------------------
-- The sale as the marketplace books it: the first line of each order that arrived. The buyer owns the row,
-- the vendor, the product and the stock are mentioned. Old sales lost their product or their place.

WITH venta AS (
    SELECT o.*, i.product_id, i.total_price, p.vendedor_id, row_number() OVER (ORDER BY o.id) AS t
    FROM orders o JOIN order_items i ON i.id = (SELECT min(id) FROM order_items x WHERE x.order_id = o.id)
    JOIN products p ON p.id = i.product_id WHERE o.status IN ('DELIVERED', 'REFUNDED'))
INSERT INTO transactions (
    id, monto, inventory_id, status, fecha_pago, referencia_pago, metodo_pago, estado, transaction_type,
    porcentaje_mestocker, monto_vendedor, comprador_id, vendedor_id, product_id, referencia_externa, observaciones,
    created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 16, t), total_price,
       iif(t % 7, (SELECT min(id) FROM inventory x WHERE x.product_id = v.product_id), NULL), lower(status), confirmed_at,
       printf('TXN-2025-%06d', v.id),
       CASE t % 5 WHEN 0 THEN 'PSE' WHEN 1 THEN 'NEQUI' WHEN 2 THEN 'TARJETA_DEBITO' ELSE 'TARJETA_CREDITO' END,
       iif(t % 29, 'COMPLETADA', 'PROCESANDO'), iif(status = 'REFUNDED', 'DEVOLUCION', 'VENTA'), 8,
       round(total_price * 0.92), buyer_id, vendedor_id, iif(t % 23, product_id, NULL), order_number,
       iif(status = 'REFUNDED', 'Devuelto por el comprador', NULL), confirmed_at, delivered_at
FROM venta v ORDER BY t;

-- Commissions belong to the order and to the vendor; the approver is a mention. order_id is text here. Some
-- were set off against another sale of the same vendor, to his oldest customer, who may be a test user: there
-- the reference to the sale becomes NULL and the commission stays.
WITH base AS (
    SELECT t.*, o.id AS pedido, row_number() OVER (ORDER BY t.id) AS c
    FROM transactions t JOIN orders o ON o.order_number = t.referencia_externa WHERE t.vendedor_id IS NOT NULL)
INSERT INTO commissions (
    id, commission_number, order_id, vendor_id, transaction_id, order_amount, commission_rate, commission_amount,
    vendor_amount, platform_amount, commission_type, status, notes, calculated_at, approved_at, paid_at, disputed_at,
    approved_by_id, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 17, c), printf('COM-2025-%05d', c), CAST(pedido AS TEXT), vendedor_id,
       CASE WHEN c % 12 = 0 THEN NULL WHEN c % 4 <> 2 THEN b.id
            ELSE (SELECT x.id FROM transactions x WHERE x.vendedor_id = b.vendedor_id ORDER BY comprador_id, x.id LIMIT 1) END,
       monto, 0.08, monto - monto_vendedor, monto_vendedor, monto - monto_vendedor,
       CASE c % 11 WHEN 3 THEN 'PREMIUM' WHEN 7 THEN 'PROMOTIONAL' ELSE 'STANDARD' END,
       CASE WHEN transaction_type = 'DEVOLUCION' THEN 'REFUNDED' WHEN c % 5 = 0 THEN 'PENDING'
            WHEN c % 13 = 4 THEN 'DISPUTED' WHEN c % 2 THEN 'PAID' ELSE 'APPROVED' END,
       iif(c % 17 = 0, 'Tarifa acordada con el vendedor', NULL), b.created_at, iif(c % 5, datetime(b.created_at, '+3 days'), NULL),
       iif(c % 2 AND c % 5, datetime(b.created_at, '+8 days'), NULL), iif(c % 13 = 4, datetime(b.created_at, '+5 days'), NULL),
       iif(c % 5, a.id, NULL), b.created_at, b.updated_at
FROM base b JOIN users a ON a.employee_id = printf('EMP-%04d', c * 3 % 20 + 1) ORDER BY c;

-- Opened by the buyer or by the vendor, so now and then by the one who stays.
INSERT INTO commission_disputes (
    id, transaction_id, usuario_id, motivo, descripcion, estado, respuesta_admin, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 18, rowid / 11), id, iif(rowid % 2, coalesce(vendedor_id, comprador_id), comprador_id),
       iif(rowid % 2, 'Comisión mal calculada', 'Cobro duplicado'), 'El valor no coincide con lo pactado.',
       CASE rowid % 4 WHEN 0 THEN 'ABIERTO' WHEN 1 THEN 'EN_REVISION' WHEN 2 THEN 'RESUELTO' ELSE 'RECHAZADO' END,
       iif(rowid % 4 >= 2, 'Se revisó el contrato.', NULL), datetime(created_at, '+6 days'), datetime(created_at, '+9 days')
FROM transactions WHERE rowid % 11 = 0 ORDER BY rowid;

-- Vendors' papers and payouts ---------------------------------------------------------------------

WITH retiro AS (
    SELECT u.*, row_number() OVER (ORDER BY id, r) AS q, datetime('2025-07-28 10:00:00', '+' || (u.rowid % 40) || ' days') AS fecha
    FROM users u, (SELECT 1 AS r UNION ALL SELECT 2 UNION ALL SELECT 3) WHERE user_type = 'VENDOR' AND (r = 1 OR u.rowid = 5))
INSERT INTO payout_requests (
    id, vendedor_id, monto_solicitado, estado, tipo_cuenta, numero_cuenta, banco, observaciones, fecha_procesamiento,
    referencia_pago, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 19, q), id, 50000 + q * 12500,
       CASE q % 4 WHEN 1 THEN 'PAGADO' WHEN 2 THEN 'SOLICITADO' WHEN 3 THEN 'PROCESANDO' ELSE 'RECHAZADO' END,
       tipo_cuenta, numero_cuenta, banco, iif(q % 4 = 0, 'Cuenta no verificada', NULL),
       iif(q % 4 < 2, datetime(fecha, '+4 days'), NULL), iif(q % 4 = 1, printf('ACH%08d', q * 7919), NULL), fecha,
       datetime(fecha, '+4 days')
FROM retiro ORDER BY q;

WITH pasos(orden, antes, despues) AS (VALUES
    (1, NULL, 'SOLICITADO'), (2, 'SOLICITADO', 'PROCESANDO'), (3, 'PROCESANDO', 'PAGADO'), (4, 'PROCESANDO', 'RECHAZADO')),
cambio AS (
    SELECT p.id, orden, antes, despues, observaciones, datetime(created_at, '+' || orden || ' days') AS fecha,
           row_number() OVER (ORDER BY p.id, orden) AS h
    FROM payout_requests p JOIN pasos ON orden = 1 OR (orden = 2 AND estado <> 'SOLICITADO') OR (orden > 2 AND despues = estado))
INSERT INTO payout_history (
    payout_request_id, estado_anterior, estado_nuevo, fecha_cambio, observaciones, usuario_responsable, created_at, updated_at)
SELECT c.id, antes, despues, fecha, iif(despues = 'RECHAZADO', observaciones, NULL), iif(orden = 1, NULL, a.id), fecha, fecha
FROM cambio c JOIN users a ON a.employee_id = printf('EMP-%04d', h % 20 + 1) ORDER BY h;

WITH clases(d, clase) AS (VALUES (0, 'CEDULA'), (1, 'RUT'), (2, 'CERTIFICADO_BANCARIO'), (3, 'CAMARA_COMERCIO')),
papel AS (
    SELECT id AS vendedor, created_at AS alta, d, clase, (u.rowid + d * 3) % 7 AS caso, row_number() OVER (ORDER BY id, d) AS q
    FROM users u, clases WHERE user_type = 'VENDOR' AND (u.rowid = 5 OR (u.rowid + d) % 2 = 0))
INSERT INTO vendor_documents (
    id, vendor_id, document_type, file_path, original_filename, file_size, mime_type, status, verified_by,
    verification_notes, uploaded_at, verified_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 20, q), vendedor, clase, 'uploads/vendors/' || vendedor || '/' || lower(clase) || '.pdf',
       lower(clase) || '-' || q || '.pdf', 120000 + q * 811, 'application/pdf',
       CASE caso WHEN 0 THEN 'PENDING' WHEN 5 THEN 'REJECTED' ELSE 'VERIFIED' END, iif(caso, a.id, NULL),
       iif(caso = 5, 'Documento ilegible', NULL), datetime(alta, '+1 day'), iif(caso, datetime(alta, '+3 days'), NULL),
       iif(caso, datetime(alta, '+3 days'), NULL)
FROM papel JOIN users a ON a.employee_id = printf('EMP-%04d', q * 3 % 20 + 1) ORDER BY q;

-- A note or an audit entry falls with its vendor and with the admin who wrote it (both keys cascade), so a
-- test admin's notes about real vendors are shared rows.
WITH vendedores AS (SELECT *, row_number() OVER (ORDER BY id) AS k FROM users WHERE user_type = 'VENDOR')
INSERT INTO vendor_notes (id, vendor_id, admin_id, note_text, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 21, k), v.id, a.id,
       CASE k % 3 WHEN 0 THEN 'Despacha a tiempo.' WHEN 1 THEN 'Pidió ampliar su bodega.' ELSE 'Falta actualizar el RUT.' END,
       datetime(v.created_at, '+15 days'), datetime(v.created_at, '+15 days')
FROM vendedores v JOIN users a ON a.employee_id = printf('EMP-%04d', k * 7 % 20 + 1) ORDER BY k;

WITH cambio AS (
    SELECT u.*, d, row_number() OVER (ORDER BY id, d) AS q
    FROM users u, (SELECT 0 AS d UNION ALL SELECT 1) WHERE user_type = 'VENDOR' AND (d = 0 OR u.rowid % 5 = 0))
INSERT INTO vendor_audit_logs (
    id, vendor_id, admin_id, action_type, old_values, new_values, description, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 22, q), v.id, a.id,
       CASE WHEN d THEN 'NOTE_ADDED' WHEN v.vendor_status IN ('APPROVED', 'REJECTED') THEN v.vendor_status
            ELSE 'STATUS_CHANGED' END,
       iif(d, NULL, json_object('vendor_status', 'PENDING_APPROVAL')),
       iif(d, json_object('nota', q), json_object('vendor_status', v.vendor_status)),
       iif(d, 'Nota interna', 'Revisión de documentos'), datetime(v.created_at, '+5 days'), datetime(v.created_at, '+5 days')
FROM cambio v JOIN users a ON a.employee_id = printf('EMP-%04d', q * 3 % 20 + 1) ORDER BY q;

-- What administrators did -------------------------------------------------------------------------
-- The log outlives its author: the reference becomes NULL, the e-mail beside it stays. Some already lost
-- theirs.

WITH RECURSIVE n(l, fecha) AS (
    SELECT 1, '2025-04-02 01:00:00' UNION ALL SELECT l + 1, datetime(fecha, '+17 hours') FROM n WHERE l < 240),
clases(k, tipo, accion, objeto, riesgo, ruta, metodo) AS (VALUES
    (0, 'AUTHENTICATION', 'Ingreso al panel', NULL, 'LOW', '/api/v1/auth/admin-login', 'POST'),
    (1, 'USER_MANAGEMENT', 'Desactivó un usuario', 'user', 'MEDIUM', '/api/v1/admin/users', 'PATCH'),
    (2, 'VENDOR_MANAGEMENT', 'Aprobó un vendedor', 'vendor', 'MEDIUM', '/api/v1/vendors/approve', 'POST'),
    (3, 'FINANCIAL', 'Aprobó una comisión', 'commission', 'HIGH', '/api/v1/commissions/approve', 'POST'),
    (4, 'SYSTEM_CONFIG', 'Cambió un parámetro', 'setting', 'HIGH', '/api/v1/admin/settings', 'PUT'),
    (5, 'DATA_EXPORT', 'Exportó las ventas', 'report', 'MEDIUM', '/api/v1/reports/export', 'GET'),
    (6, 'SECURITY', 'Bloqueó una cuenta', 'user', 'CRITICAL', '/api/v1/admin/users/lock', 'POST'),
    (7, 'MONITORING', 'Consultó el tablero', NULL, 'LOW', '/api/v1/admin/dashboard', 'GET')),
suceso AS (SELECT *, l % 18 = 7 AS falla FROM n JOIN clases ON k = l % 8)
INSERT INTO admin_activity_logs (
    id, admin_user_id, admin_email, admin_full_name, action_type, action_name, action_description, target_type, target_id,
    result, risk_level, endpoint, http_method, request_data, response_data, ip_address, user_agent, session_id,
    country_code, city, timezone, execution_time_ms, error_code, error_message, requires_review, compliance_tags,
    correlation_id, created_at, updated_at)
SELECT printf('%08x-0000-4000-8000-%012x', 23, l), iif(l % 15, a.id, NULL), a.email, a.nombre || ' ' || a.apellido, tipo,
       accion, accion || ' desde el panel', objeto,
       iif(objeto IN ('user', 'vendor'), printf('%08x-0000-4000-8000-%012x', 1, 11 + l * 13 % 290), NULL),
       iif(falla, 'FAILURE', 'SUCCESS'), riesgo, ruta, metodo, json_object('pagina', l % 9),
       json_object('estado', iif(falla, 500, 200)), printf('181.49.%d.%d', l % 200 + 1, l * 7 % 250 + 1),
       'Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0', printf('adm-%06x', l * 9973), 'CO', a.ciudad, 'America/Bogota',
       12.5 + l % 80, iif(falla, 'E500', NULL), iif(falla, 'Tiempo de espera agotado', NULL), falla,
       json_array('habeas-data'), printf('corr-%06d', l), fecha, fecha
FROM suceso JOIN users a ON a.employee_id = printf('EMP-%04d', l * 3 % 20 + 1) ORDER BY l;
