"""Testing against the real thing: PostgreSQL, Redis, migrations, HTTP. Published as a pytest plugin."""
