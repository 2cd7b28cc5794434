"""What a database is made of, as rows that can be compared: kind, what it belongs to, name, definition."""

from core.db.migrations import VERSION_TABLE

OURS = "n.nspname !~ '^(pg_|information_schema$)' AND n.nspname <> 'public'"
DEFINITIONS = f"""
    SELECT 'column', c.oid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
               || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || ' ' || a.attidentity::text
               || a.attgenerated::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE {OURS} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
      AND c.relname <> '{VERSION_TABLE}'
    UNION ALL SELECT 'constraint', k.conrelid::regclass::text, k.conname::text, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {OURS} AND c.relname <> '{VERSION_TABLE}'
    UNION ALL SELECT 'index', i.indrelid::regclass::text, c.relname::text, pg_get_indexdef(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {OURS} AND c.relname NOT LIKE '{VERSION_TABLE}%'
"""
"""All that a table is: its columns, its constraints, its indexes."""
WALLS = f"""
    SELECT 'policy', p.polrelid::regclass::text, p.polname::text,
           concat_ws(' ', p.polcmd, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
                     pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p
    UNION ALL SELECT 'grants', c.oid::regclass::text, c.relkind::text, c.relacl::text || c.relforcerowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
    UNION ALL SELECT 'function', p.oid::regprocedure::text, p.proacl::text, pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {OURS} AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
"""
"""What guards the tables, and the functions beside them."""
LEFTOVERS = f"""
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {OURS} AND c.relname NOT LIKE '{VERSION_TABLE}%'
    UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {OURS}
    UNION ALL SELECT t.oid::regtype::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE {OURS} AND t.typname NOT IN ('{VERSION_TABLE}', '_{VERSION_TABLE}')
"""
