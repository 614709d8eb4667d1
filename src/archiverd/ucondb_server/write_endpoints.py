"""The endpoints that write: put (ucondb_protocol.md section 4), tag and create_folder (section 3).

A put has three steps, because clients can see the order of its checks: ``locate`` before the body is read, ``check``
after it, ``store`` in the writing thread.
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
"""Largest blob in bytes; PostgreSQL cannot hold more as hexadecimal text (section 4)."""


@dataclass(frozen=True, slots=True)
class PutTarget:
    """Destination of a put."""

    folder: Folder
    object: str


def is_put(request: RequestContext) -> bool:
    """Return whether a request stores: ``/data`` by PUT or POST, ``/put`` by any method (section 3)."""
    return request.endpoint == "put" or (request.endpoint == "data" and request.method in ("PUT", "POST"))


def locate(instance: Instance, request: RequestContext) -> PutTarget:
    """Return the destination; check the folder, then the object's name, before the body is read. Raise refusals."""
    folder = find_folder(instance, request.parameters.one("folder"))
    if folder is None:
        raise refusal(404, "Folder not found")
    name = request.parameters.one("object")
    if not name:
        raise refusal(400, "")
    return PutTarget(folder, name)


def check(instance: Instance, request: RequestContext, place: PutTarget, body: Spool) -> Draft:
    """Return what to store; check login, tv, key and size after the body was read. Raise refusals."""
    require(
        instance.credentials,
        realm=place.folder.qualified,
        method=request.method,
        header=request.authorization,
        now=request.received,
    )
    parameters = request.parameters
    draft = Draft(
        object=place.object,
        tv=number(parameters.one("tv") or "0.0"),
        key=parameters.one("key"),
        tags=parameters.every("tag"),
        override=parameters.is_yes("override"),
        tr=round(request.received, 6),
    )
    if any("\0" in given for given in (draft.object, draft.key or "", *draft.tags)):
        raise failure("A string literal cannot contain NUL (0x00) characters.")
    if draft.key is not None and not draft.override:
        taken = instance.store.version_of_key(place.folder.number, draft.object, draft.key)
        if taken is not None:
            raise failure(f"Version of object {draft.object} with key {draft.key} already exists")
    if body.too_long:
        raise failure("invalid memory alloc request size 1073741824\n")
    return draft


def store(instance: Instance, request: RequestContext, place: PutTarget, draft: Draft, body: Spool) -> Response:
    """Store the version and return the reply; raise PostgreSQL's error text if another put took the key."""
    try:
        version = instance.store.put(place.folder.number, draft, body)
    except KeyTakenError:
        constraint = f"{place.folder.name}_object_key_inx"
        raise failure(
            f'duplicate key value violates unique constraint "{constraint}"\n'
            f"DETAIL:  Key (object, key)=({draft.object}, {draft.key}) already exists.\n"
        ) from None
    if request.parameters.is_yes("full_meta"):
        return Response(200, JSON, json.dumps(metadata(place.folder, version)).encode())
    return text(str(version.id))


def tag(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/tag``: tag the version with a version_id, or of an object and key. Needs no login."""
    folder = find_folder(instance, request.parameters.one("folder"))
    if folder is None:
        raise failure("'NoneType' object has no attribute 'getObject'")
    word, version_id = request.parameters.one("tag"), request.parameters.one("version_id")
    name, key = request.parameters.one("object"), request.parameters.one("key")
    if not word:
        raise failure("")
    if version_id is not None:
        version = instance.store.version(folder.number, integer(version_id))
    elif name is None or key is None:
        raise failure("")
    elif not instance.store.has_object(folder.number, name):
        raise failure("'NoneType' object has no attribute 'getVersion'")
    else:
        version = instance.store.version_of_key(folder.number, name, key)
    if version is None:
        raise failure("'NoneType' object has no attribute 'addTag'")
    if "\0" in word:
        raise failure("A string literal cannot contain NUL (0x00) characters.")
    instance.store.add_tag(folder.number, version.id, word)
    return text("OK")


def create_folder(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/create_folder``: create a folder, in lower case; ``drop=yes`` empties it. Needs the login."""
    given = request.parameters.one("folder")
    if not given:
        raise refusal(400, "Empty folder name")
    illegal = re.search(r"[^A-Za-z0-9_.]|\.(?=.*\.)|^\.|\.$", given)
    if illegal is not None and not given.isprintable():  # as a realm it would break the challenge's header
        raise failure("syntax error in the name of the folder")
    require(
        instance.credentials, realm=given, method=request.method, header=request.authorization, now=request.received
    )
    if illegal is not None:
        raise failure(f'syntax error at or near "{illegal.group()}"')
    namespace, _, bare = given.rpartition(".")
    if namespace not in ("", instance.namespace):
        raise failure(f'schema "{namespace}" does not exist')
    instance.store.create_folder(bare.lower(), drop=request.parameters.is_yes("drop"))
    return text("OK")
