"""Every table of the ledger: a catalogue is whole only once each module that has some of them is imported."""

from flows.tasks import (  # noqa: F401 - their tables are of the same catalogue
    database_tables,
    migration_tables,
    purge_queue_tables,
    rehearsal_tables,
    samples_tables,
    service_tables,
    sweep_tables,
)
from flows.tasks.ledger_tables import LedgerTable
from roundsman.batch import tables  # noqa: F401 - so are these

CATALOGUE = LedgerTable.metadata
