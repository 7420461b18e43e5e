"""Every table of the ledger: a catalogue is whole only once each module that has some of them is imported."""

from roundsman.ledger import tables_imports as tables  # noqa: F401 - so are these
from roundsman.ledger.tables_rounds import LedgerTable

CATALOGUE = LedgerTable.metadata
