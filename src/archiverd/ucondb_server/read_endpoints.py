"""The endpoints that read: blobs and metadata (ucondb_protocol.md section 5), listings (section 6), the rest (3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archiverd.ucondb_server.instance import find_folder
from archiverd.ucondb_server.replies import (
    HTML,
    JSON,
    JSON_SEQ,
    OCTETS,
    Response,
    failure,
    names,
    refusal,
    text,
)
from archiverd.ucondb_server.values import integer, record_time, validity_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from archiverd.ucondb_server.instance import Folder, Instance, RequestContext
    from archiverd.ucondb_server.store import Blob, Version

UCONDB_VERSION = "3.9.7"
"""Version of the server whose behaviour is imitated."""

_COMPRESSIONS = frozenset({"no", "default", "fast", "best"})


def metadata(folder: Folder, version: Version) -> dict[str, Any]:
    """Return the metadata object of section 4, members in the real order, NaN and infinity unchanged."""
    return {
        "object": version.object,
        "folder": folder.qualified,
        "tv": version.tv,
        "tr": version.tr,
        "tags": list(version.tags),
        "adler32": version.adler32,
        "uadler32": version.adler32,
        "data_size": version.size,
        "data_key": str(version.data_key),
        "id": version.id,
        "key": version.key,
    }


def read_data(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/data`` and ``/get``: blob or metadata of one version; id wins over data_key, key, tag and times."""
    folder = find_folder(instance, request.parameters.one("folder"))
    if folder is None:
        raise failure("'NoneType' object has no attribute 'getObject'")
    name = request.parameters.one("object")
    if not name:
        raise refusal(400, "")
    if (version_id := request.parameters.one("id")) is not None:
        return _data_of_id(instance, request, folder, integer(version_id))
    if (data_key := request.parameters.one("data_key")) is not None:
        number = integer(data_key)
        headers = (*_product(), (b"X-UConDB-data-key", str(number).encode()))
        return Response(200, OCTETS, headers=headers, blob=_blob(instance, folder, number), framed=False)
    version = _selected(instance, request, folder, name)
    if request.parameters.is_yes("meta_only"):
        return Response(200, JSON, json.dumps(metadata(folder, version)).encode())
    blob = _blob(instance, folder, version.data_key)
    return Response(200, OCTETS, headers=_version_headers(folder, version), blob=blob, framed=False)


def get_blob(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/get_blob``: only bytes, by data_key or version_id; ``compress`` is checked and ignored."""
    unknown = set(request.parameters.values) - {"folder", "data_key", "version_id", "compress"}
    if unknown:
        raise failure(f"UConDBHandler.get_blob() got an unexpected keyword argument '{min(unknown)}'")
    data_key, version_id = request.parameters.one("data_key"), request.parameters.one("version_id")
    folder = _folder_or_404(instance, request)
    if (data_key is None) == (version_id is None):
        raise refusal(400, "One and only one of data_key, version_id must be specified")
    if (compression := request.parameters.one("compress")) not in (None, *_COMPRESSIONS):
        raise failure(f"'{compression}'")
    if version_id is not None:
        version = instance.store.version(folder.number, integer(version_id))
        if version is None:
            raise refusal(404, "Version not found")
        blob = _blob(instance, folder, version.data_key)
    else:
        blob = _blob(instance, folder, integer(data_key or ""))
    return Response(200, OCTETS, blob=blob, framed=False)


def list_versions(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/versions``: one JSON array, newest first, without those whose tv exceeds the limit (section 6)."""
    folder = _folder_or_404(instance, request)
    name = _object_or_404(instance, folder, request.parameters.one("object"))
    found = instance.store.listing(
        folder.number,
        name,
        tv=validity_limit(request.parameters.one("tv"), request.received),
        tr=record_time(request.parameters.one("tr"), request.received),
        tr_since=record_time(request.parameters.one("tr_since"), request.received),
    )
    records = json.dumps([metadata(folder, version) for version in found])
    return Response(200, JSON, records.encode(), framed=False)


def lookup_versions(instance: Instance, request: RequestContext, body: bytes) -> Response:
    """Serve ``/lookup_versions``: records for the one kind of selection in the JSON body (section 6).

    A selection that the real database refuses (numbers for keys, texts for ids) gives an empty 200: there the query
    fails after the head was sent.
    """
    if request.method != "POST":
        raise failure("")
    folder = _folder_or_404(instance, request)
    name = request.parameters.one("object")
    try:
        selection = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise failure(str(error)) from None
    if not isinstance(selection, dict):
        raise failure(f"'{type(selection).__name__}' object has no attribute 'get'")
    if ids := selection.get("ids"):
        usable = _all(ids, lambda value: type(value) is int and abs(value) < 1 << 63)
        return _records(folder, instance.store.with_ids(folder.number, ids) if usable else ())
    if tvs := selection.get("tvs"):
        broken = b"" if request.parameters.one("tr") or not isinstance(tvs, list) else b"\x1enull\n" * len(tvs)
        return Response(200, JSON_SEQ, broken, framed=False)
    keys, low, high = selection.get("keys"), selection.get("key_min"), selection.get("key_max")
    if not keys and low is None and high is None:
        raise failure("'NoneType' object is not iterable")
    if name is None:
        raise failure("Object name must be specified")
    name = _object_or_404(instance, folder, name)
    if keys:
        return _records(folder, instance.store.with_keys(folder.number, name, keys) if _all(keys, _is_text) else ())
    usable = all(bound is None or _is_text(bound) for bound in (low, high))
    return _records(folder, instance.store.in_key_range(folder.number, name, low, high) if usable else ())


def list_folders(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/folders``: all folders of the namespace; another namespace has none."""
    here = request.parameters.one("namespace") in (None, instance.namespace)
    return names(instance.store.folders() if here else (), csv=request.parameters.one("format") == "csv")


def list_objects(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/objects``: all objects of a folder."""
    folder = find_folder(instance, request.parameters.one("folder"))
    if folder is None:
        raise failure("'NoneType' object has no attribute 'listObjects'")
    return names(instance.store.objects(folder.number), csv=request.parameters.one("format") == "csv")


def list_tags(instance: Instance, request: RequestContext) -> Response:
    """Serve ``/tags``: the tags of a folder, each once per version that carries it."""
    folder = find_folder(instance, request.parameters.one("folder"))
    if folder is None:
        raise failure("'NoneType' object has no attribute 'listTags'")
    return names(instance.store.tags(folder.number))


def version(_instance: Instance, _request: RequestContext) -> Response:
    """Serve ``/version``: the imitated version of UconDB."""
    return text(UCONDB_VERSION)


def probe(instance: Instance, _request: RequestContext) -> Response:
    """Serve ``/probe``: ``OK`` if the database answers."""
    instance.store.folders()
    return text("OK")


READERS: Mapping[str, Callable[[Instance, RequestContext], Response]] = {
    "data": read_data,
    "get": read_data,
    "get_blob": get_blob,
    "versions": list_versions,
    "folders": list_folders,
    "objects": list_objects,
    "tags": list_tags,
    "version": version,
    "probe": probe,
}
"""Endpoints that need neither a body nor credentials."""


def _folder_or_404(instance: Instance, request: RequestContext) -> Folder:
    name = request.parameters.one("folder")
    folder = find_folder(instance, name)
    if folder is None:
        raise refusal(404, f"Folder {name} not found")
    return folder


def _object_or_404(instance: Instance, folder: Folder, name: str | None) -> str:
    if name is None or not instance.store.has_object(folder.number, name):
        raise refusal(404, f"Object {name} not found")
    return name


def _selected(instance: Instance, request: RequestContext, folder: Folder, name: str) -> Version:
    """Return the version selected by key, tag, tv and tr (section 5)."""
    parameters = request.parameters
    tv = validity_limit(parameters.one("tv"), request.received)
    tr = record_time(parameters.one("tr"), request.received)
    key, tag = parameters.one("key"), parameters.one("tag")
    if any("\0" in given for given in (name, key, tag) if given):
        raise failure("A string literal cannot contain NUL (0x00) characters.")
    if not instance.store.has_object(folder.number, name):
        raise failure("'NoneType' object has no attribute 'getVersion'")
    if key is not None:
        found = instance.store.version_of_key(folder.number, name, key)
    else:
        found = instance.store.latest(folder.number, name, tag=tag, tv=tv, tr=tr)
    if found is None:
        raise refusal(404, "Version not found")
    return found


def _data_of_id(instance: Instance, request: RequestContext, folder: Folder, number: int) -> Response:
    found = instance.store.version(folder.number, number)
    if request.parameters.is_yes("meta_only"):
        return Response(200, JSON, json.dumps(metadata(folder, found) if found else {}).encode())
    if found is None:
        raise failure("'NoneType' object has no attribute 'Data'")
    return Response(200, HTML, blob=_blob(instance, folder, found.data_key))


def _blob(instance: Instance, folder: Folder, data_key: int) -> Blob:
    blob = instance.store.blob(folder.number, data_key)
    if blob is None:
        raise refusal(404, "Data not found")
    return blob


def _product() -> tuple[tuple[bytes, bytes], ...]:
    return ((b"X-UConDB-product-version", UCONDB_VERSION.encode()),)


def _version_headers(folder: Folder, version: Version) -> tuple[tuple[bytes, bytes], ...]:
    """Return the ``X-UConDB-…`` headers of section 5. A key that would break them is a 500, as behind gunicorn."""
    key = version.key or "null"  # for the empty key too, so recorded
    if any(ord(character) < ord(" ") and character != "\t" for character in key):
        raise failure("Invalid header value")
    fields = {
        "version-id": version.id,
        "data-key": version.data_key,
        "version-key": key.strip(" \t"),  # outer blanks do not count in a header
        "data-size": version.size,
        "adler32": version.adler32,
        "tv": version.tv,
        "tr": version.tr,
        "metadata": json.dumps(metadata(folder, version)),
        "metadata-format": "text/json",
    }
    return (*_product(), *((f"X-UConDB-{name}".encode(), str(value).encode()) for name, value in fields.items()))


def _records(folder: Folder, found: Iterable[Version]) -> Response:
    body = "".join(f"\x1e{json.dumps(metadata(folder, version))}\n" for version in found)
    return Response(200, JSON_SEQ, body.encode(), framed=False)


def _all(values: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(values, list) and all(fits(value) for value in values)


def _is_text(value: object) -> bool:
    """Return whether ``value`` is a text that PostgreSQL can compare: no NUL, no lone surrogate."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
