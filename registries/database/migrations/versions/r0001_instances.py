"""Instances, their heartbeats, and the log of changes that triggers write: also what is changed by hand is in it."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE registry_instances (
  key TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL,
  lease DOUBLE PRECISION NOT NULL,
  copied SMALLINT NOT NULL DEFAULT 0,
  record TEXT NOT NULL
);
CREATE TABLE registry_clock (only_row SMALLINT NOT NULL PRIMARY KEY CHECK (only_row = 1), tick BIGINT NOT NULL);
INSERT INTO registry_clock VALUES (1, 0)
"""

SQLITE = [
    """CREATE TABLE registry_beats (
         key TEXT NOT NULL PRIMARY KEY, tick INTEGER NOT NULL, writer INTEGER NOT NULL
       ) WITHOUT ROWID""",
    """CREATE TABLE registry_changes (
         revision INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, op TEXT NOT NULL, nonce INTEGER NOT NULL
       )""",
    """CREATE TRIGGER registry_inserted AFTER INSERT ON registry_instances BEGIN
         INSERT INTO registry_beats (key, tick, writer) VALUES (NEW.key, 0, 0) ON CONFLICT (key) DO NOTHING;
         INSERT INTO registry_changes (key, op, nonce) VALUES (NEW.key, 'put', random());
       END""",
    """CREATE TRIGGER registry_updated AFTER UPDATE ON registry_instances WHEN NEW.key = OLD.key BEGIN
         INSERT INTO registry_changes (key, op, nonce) VALUES (NEW.key, 'put', random());
       END""",
    """CREATE TRIGGER registry_renamed AFTER UPDATE ON registry_instances WHEN NEW.key <> OLD.key BEGIN
         DELETE FROM registry_beats WHERE key = OLD.key;
         INSERT INTO registry_beats (key, tick, writer) VALUES (NEW.key, 0, 0) ON CONFLICT (key) DO NOTHING;
         INSERT INTO registry_changes (key, op, nonce) VALUES (OLD.key, 'drop', random()), (NEW.key, 'put', random());
       END""",
    """CREATE TRIGGER registry_deleted AFTER DELETE ON registry_instances BEGIN
         DELETE FROM registry_beats WHERE key = OLD.key;
         INSERT INTO registry_changes (key, op, nonce) VALUES (OLD.key, 'drop', random());
       END""",
]

POSTGRESQL = [
    # Half of each page stays free: a heartbeat then rewrites its row in place and touches no index.
    """CREATE TABLE registry_beats (
         key TEXT NOT NULL PRIMARY KEY, tick BIGINT NOT NULL, writer BIGINT NOT NULL
       ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5)""",
    """CREATE TABLE registry_changes (
         revision BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
         key TEXT NOT NULL,
         op TEXT NOT NULL,
         nonce BIGINT NOT NULL DEFAULT (random() * 9007199254740991)::BIGINT
       )""",
    # The lock is the one of `pilot_plus.sql`: revisions are given out in the order in which they become visible.
    """CREATE FUNCTION registry_log() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         PERFORM pg_advisory_xact_lock(7080, 1);
         IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND NEW.key <> OLD.key) THEN
           DELETE FROM registry_beats WHERE key = OLD.key;
           INSERT INTO registry_changes (key, op) VALUES (OLD.key, 'drop');
         END IF;
         IF TG_OP <> 'DELETE' THEN
           IF TG_OP = 'INSERT' OR NEW.key <> OLD.key THEN
             INSERT INTO registry_beats (key, tick, writer) VALUES (NEW.key, 0, 0) ON CONFLICT (key) DO NOTHING;
           END IF;
           INSERT INTO registry_changes (key, op) VALUES (NEW.key, 'put');
         END IF;
         RETURN NULL;
       END $$""",
    """CREATE FUNCTION registry_notify() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF TG_OP = 'TRUNCATE' THEN
           DELETE FROM registry_beats;
           DELETE FROM registry_changes;
         END IF;
         PERFORM pg_notify('registry_changes', (SELECT coalesce(max(revision), 0)::TEXT FROM registry_changes));
         RETURN NULL;
       END $$""",
    """CREATE TRIGGER registry_logged AFTER INSERT OR UPDATE OR DELETE ON registry_instances
       FOR EACH ROW EXECUTE FUNCTION registry_log()""",
    """CREATE TRIGGER registry_notified AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON registry_instances
       FOR EACH STATEMENT EXECUTE FUNCTION registry_notify()""",
]


def upgrade() -> None:
    """Make the tables and the triggers."""
    own = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    for statement in (*TABLES.split(";"), *own):
        op.get_bind().exec_driver_sql(statement)
