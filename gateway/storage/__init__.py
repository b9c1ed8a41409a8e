"""PostgreSQL: pools, the embedded server, the change feed, migrations and the SQL itself."""
