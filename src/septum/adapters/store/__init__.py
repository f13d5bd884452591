"""Everything that a coordinator keeps but blobs and logs: in SQLite or PostgreSQL."""
