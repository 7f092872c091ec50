"""A limit for what one answer may read of documents, metadata and vectors."""

from ramet.storage.allowance import at_most as at_most
from ramet.storage.errors import ReadLimitError as ReadLimitError
