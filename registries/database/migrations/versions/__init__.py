"""One module a revision, run by Alembic."""
