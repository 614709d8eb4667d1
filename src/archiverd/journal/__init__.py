"""The journal: a row per run, a bounded story of its events, and the state files operators read.

All its SQL is in six modules: ``schema`` has the tables, ``statements`` what changes them; ``queries``, ``scheduling``,
``summaries`` and ``news`` have what can be asked, as functions named ``select_…``.
"""
