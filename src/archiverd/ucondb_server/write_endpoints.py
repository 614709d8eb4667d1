"""The endpoints that write: put (ucondb_protocol.md section 4), tag and create_folder (section 3).

A put comes in three steps, because the order of its checks can be seen from outside: ``locate`` before the body is
read, ``check`` after it, ``store`` alone on the writing thread.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archiverd.ucondb_server.digest import require
from archiverd.ucondb_server.instance import find_folder
from archiverd.ucondb_server.read_endpoints import metadata
from archiverd.ucondb_server.replies import JSON, Response, failure, refusal, text
from archiverd.ucondb_server.store import Draft, KeyTakenError
from archiverd.ucondb_server.values import integer, number

if TYPE_CHECKING:
    from archiverd.ucondb_server.instance import Folder, Instance, RequestContext
    from archiverd.ucondb_server.spool import Spool

LARGEST_BLOB = 1 << 28
"""Bytes; above it PostgreSQL fails to hold the value as hexadecimal text (section 4)."""


@dataclass(frozen=True, slots=True)
class PutTarget:
    """Where a put goes."""

    folder: Folder
    object: str


def is_put(call: RequestContext) -> bool:
    """Tell whether a call stores: ``/data`` by PUT or POST, ``/put`` by any method (section 3)."""
    return call.endpoint == "put" or (call.endpoint == "data" and call.method in ("PUT", "POST"))


def locate(site: Instance, call: RequestContext) -> PutTarget:
    """Check what is checked before the body is read: the folder, then the object's name."""
    folder = find_folder(site, call.parameters.one("folder"))
    if folder is None:
        raise refusal(404, "Folder not found")
    name = call.parameters.one("object")
    if not name:
        raise refusal(400, "")
    return PutTarget(folder, name)


def check(site: Instance, call: RequestContext, place: PutTarget, body: Spool) -> Draft:
    """Check what is checked after the body was read: login, tv, key, size; return what to store."""
    require(
        site.credentials,
        realm=place.folder.qualified,
        method=call.method,
        header=call.authorization,
        now=call.received,
    )
    parameters = call.parameters
    draft = Draft(
        object=place.object,
        tv=number(parameters.one("tv") or "0.0"),
        key=parameters.one("key"),
        tags=parameters.every("tag"),
        override=parameters.is_yes("override"),
        tr=round(call.received, 6),
    )
    if any("\0" in given for given in (draft.object, draft.key or "", *draft.tags)):
        raise failure("A string literal cannot contain NUL (0x00) characters.")
    if draft.key is not None and not draft.override:
        taken = site.store.version_of_key(place.folder.number, draft.object, draft.key)
        if taken is not None:
            raise failure(f"Version of object {draft.object} with key {draft.key} already exists")
    if body.too_long:
        raise failure("invalid memory alloc request size 1073741824\n")
    return draft


def store(site: Instance, call: RequestContext, place: PutTarget, draft: Draft, body: Spool) -> Response:
    """Store the version; one that lost a race for its key is told in PostgreSQL's words."""
    try:
        version = site.store.put(place.folder.number, draft, body)
    except KeyTakenError:
        constraint = f"{place.folder.name}_object_key_inx"
        raise failure(
            f'duplicate key value violates unique constraint "{constraint}"\n'
            f"DETAIL:  Key (object, key)=({draft.object}, {draft.key}) already exists.\n"
        ) from None
    if call.parameters.is_yes("full_meta"):
        return Response(200, JSON, json.dumps(metadata(place.folder, version)).encode())
    return text(str(version.id))


def tag(site: Instance, call: RequestContext) -> Response:
    """Serve ``/tag``: add a tag to the version with a version_id, or of an object and key. Anybody may."""
    folder = find_folder(site, call.parameters.one("folder"))
    if folder is None:
        raise failure("'NoneType' object has no attribute 'getObject'")
    word, version_id = call.parameters.one("tag"), call.parameters.one("version_id")
    name, key = call.parameters.one("object"), call.parameters.one("key")
    if not word:
        raise failure("")
    if version_id is not None:
        version = site.store.version(folder.number, integer(version_id))
    elif name is None or key is None:
        raise failure("")
    elif not site.store.has_object(folder.number, name):
        raise failure("'NoneType' object has no attribute 'getVersion'")
    else:
        version = site.store.version_of_key(folder.number, name, key)
    if version is None:
        raise failure("'NoneType' object has no attribute 'addTag'")
    if "\0" in word:
        raise failure("A string literal cannot contain NUL (0x00) characters.")
    site.store.add_tag(folder.number, version.id, word)
    return text("OK")


def create_folder(site: Instance, call: RequestContext) -> Response:
    """Serve ``/create_folder``: make a folder, in lower case; ``drop=yes`` empties it. Needs the login."""
    given = call.parameters.one("folder")
    if not given:
        raise refusal(400, "Empty folder name")
    illegal = re.search(r"[^A-Za-z0-9_.]|\.(?=.*\.)|^\.|\.$", given)
    if illegal is not None and not given.isprintable():  # as a realm it would break the challenge's header
        raise failure("syntax error in the name of the folder")
    require(site.credentials, realm=given, method=call.method, header=call.authorization, now=call.received)
    if illegal is not None:
        raise failure(f'syntax error at or near "{illegal.group()}"')
    namespace, _, bare = given.rpartition(".")
    if namespace not in ("", site.namespace):
        raise failure(f'schema "{namespace}" does not exist')
    site.store.create_folder(bare.lower(), drop=call.parameters.is_yes("drop"))
    return text("OK")
