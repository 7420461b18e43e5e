"""Every table of the ledger: the catalogue is whole only once each module with tables is imported."""

from roundsman.ledger import (  # noqa: F401 - importing one adds its tables to the catalogue
    outbox,
    tables_databases,
    tables_imports,
    tables_migrations,
    tables_purges,
    tables_rehearsals,
    tables_rounds,
    tables_samples,
    tables_service,
    tables_sweeps,
)
from roundsman.ledger.base import LedgerTable

CATALOGUE = LedgerTable.metadata
