"""Arguments of every endpoint: the served instance, and one request to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.ucondb_server.replies import failure

if TYPE_CHECKING:
    from archiverd.ucondb_server.digest import Credentials
    from archiverd.ucondb_server.store import Store
    from archiverd.ucondb_server.target import Parameters

_FOLDER = re.compile(r"(?:([A-Za-z0-9_]+)\.)?([A-Za-z0-9_]+)")


@dataclass(frozen=True, slots=True)
class Instance:
    """The store, namespace and credentials that all requests share."""

    store: Store
    namespace: str
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request without its body; ``received`` is the time its head came in, in epoch seconds."""

    endpoint: str
    method: str
    parameters: Parameters
    authorization: bytes | None
    received: float


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that exists: its number in the store, its bare name, and its name with the namespace."""

    number: int
    name: str
    qualified: str


def find_folder(instance: Instance, name: str | None) -> Folder | None:
    """Return the folder ``name`` (``name`` or ``namespace.name``), or None.

    Raise the 500 for an illegal name; a missing one is illegal (section 1). Names are compared as given, and stored
    ones are lower case, so a name with capitals is never found.
    """
    fits = _FOLDER.fullmatch(name or "")
    if fits is None:
        raise failure("not all arguments converted during string formatting")
    namespace, bare = fits.groups()
    if namespace not in (None, instance.namespace):
        return None
    number = instance.store.folder(bare)
    return None if number is None else Folder(number, bare, f"{instance.namespace}.{bare}")
