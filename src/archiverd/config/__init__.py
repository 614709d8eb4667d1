"""Settings: what can be set, where each value came from, and what is wrong with it.

Sources, strongest first: ``ARCHIVERD_SECTION__KEY`` in the environment, a systemd credential (secrets only),
the TOML file (or the older tool's YAML), the default. Strings of the file expand ``${VAR}``, ``${VAR:-default}``
(environment, upper-case names), ``${key}`` (same section) and ``${section.key}``.

Import from the modules: ``location`` and ``tables`` are light; ``loader`` and ``models`` cost the import of pydantic.
"""
