"""The registry of converters: what must hold of its entries, whoever adds one."""

from __future__ import annotations

import pkgutil

from archiverd.runrecord import converters
from archiverd.runrecord.converter import MadeFile
from archiverd.runrecord.converters import registry


def test_names_and_places_are_taken_once() -> None:
    """No two entries make one file, and no two have one place in the blob."""
    names = [made.name for made in registry.REGISTERED]
    assert len(names) == len(set(names))
    places = [made.blob_place for made in registry.REGISTERED if made.blob_place is not None]
    assert len(places) == len(set(places))


def test_the_end_of_a_blob_stays_as_readers_know_it() -> None:
    """These files end a blob in this order; an entry added since goes before them by its name."""
    end = "boot known_boardreaders_list setup environment metadata settings ranks RunHistory RunHistory2"
    assert list(registry.END_OF_BLOB) == end.split()


def test_what_a_converter_declares_is_registered() -> None:
    """An entry that stands in a module of converters and not in the registry would do nothing."""
    declared = set()
    for module in pkgutil.iter_modules(converters.__path__, f"{converters.__name__}."):
        values = vars(__import__(module.name, fromlist=["x"])).values()
        declared |= {value.name for value in values if isinstance(value, MadeFile)}
    assert declared == registry.NAMES


def test_what_comes_with_the_end() -> None:
    """The files that the end of a run brings or changes: by them a run archived before its end is recognised."""
    assert {"metadata", "rc_info_stop", "RunHistory2"} == registry.COME_WITH_END
