"""Locks of hubs that write copies here."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.get_bind().exec_driver_sql(
        """CREATE TABLE registry_locks (
             name TEXT NOT NULL PRIMARY KEY,
             owner TEXT NOT NULL,
             ttl DOUBLE PRECISION NOT NULL,
             beat BIGINT NOT NULL
           )"""
    )
