"""Runs an archiverd command with other constants, for limits that no setting gives.

python with_constants.py '{"archiverd.process.exit_deadline.CLOSING_SECONDS": 3600}' command …
"""

from __future__ import annotations

import json
import pkgutil
import sys

from archiverd.cli.main import main

if __name__ == "__main__":
    for name, value in json.loads(sys.argv.pop(1)).items():
        place, _, constant = name.rpartition(".")
        owner = pkgutil.resolve_name(place)
        if not hasattr(owner, constant):
            raise SystemExit(f"there is no {name}")
        setattr(owner, constant, value)
    main()
