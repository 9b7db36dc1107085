"""Study notebooks: their text, their run, and whether it may be shown."""

import sys
from typing import Any


def spare_address_grammar() -> None:
    """Keep jsonschema from compiling a grammar of web addresses: 1 s for what no notebook uses."""
    missing: Any = None  # importing it fails, as if it were not installed
    sys.modules.setdefault("rfc3987_syntax", missing)
