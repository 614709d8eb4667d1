"""Runs an archiverd command that is killed whenever it prepares the record of one run.

python dying.py RUN command …
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from archiverd.cli.main import main
from archiverd.pipeline import importer

if TYPE_CHECKING:
    from archiverd.runrecord.preparation import PreparedRun
    from archiverd.runrecord.record import RunRecord

if __name__ == "__main__":
    deadly, prepare = int(sys.argv.pop(1)), importer.prepare

    def die_of_one(record: RunRecord, *arguments: object, **options: object) -> PreparedRun:
        """Prepare a record, unless it is the deadly one."""
        if record.run == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return prepare(record, *arguments, **options)  # type: ignore[arg-type]

    importer.prepare = die_of_one  # type: ignore[assignment]
    main()
