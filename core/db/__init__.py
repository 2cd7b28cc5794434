"""The database room: tenancy, the write lane, the read lane, keyset pages and the migration runner."""
