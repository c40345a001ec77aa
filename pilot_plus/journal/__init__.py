"""What must outlive the process: the records of each registry as last known, documents, and who this cluster is.

It lies in SQLite or PostgreSQL, also in one database with our own registry: the tables are apart, and the writers take
turns in batches short enough that nobody waits long.
"""

from pilot_plus.journal.documents import Conflict, Document, Documents
from pilot_plus.journal.journal import Changes, Journal, Known

__all__ = ["Changes", "Conflict", "Document", "Documents", "Journal", "Known"]
