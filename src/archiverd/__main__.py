"""`python -m archiverd` is `archiverd`."""

from archiverd.cli.main import main

main()
