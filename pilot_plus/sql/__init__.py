"""SQL databases under the same few verbs: how the journal and our own registry open SQLite and PostgreSQL.

It knows no table. A `Store` has one writer, whose transactions come one after the other, and a few readers, each of
which sees a snapshot. Whatever a database or its driver complains about becomes `OSError` here, at the border.
"""

from pilot_plus.sql.migrate import Migrations, migrate
from pilot_plus.sql.sole import Sole
from pilot_plus.sql.store import Store, errors_of, link_to, open_store
from pilot_plus.sql.url import Place, place_of

__all__ = ["Migrations", "Place", "Sole", "Store", "errors_of", "link_to", "migrate", "open_store", "place_of"]
