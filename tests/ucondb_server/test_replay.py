"""The bundled server against exchanges recorded with the real one: same requests, same replies.

Ids, data keys and record times are compared through a table that is learned on the way and must keep their order.
The recorded Authorization headers are sent as they are: the digests in them were made for the real server.
"""

from __future__ import annotations

import base64
import html
import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ucondb_server.conftest import Reply, Server

DATA = Path(__file__).parents[1] / "data" / "ucondb" / "server_exchanges.json"

LEFT_OUT = {
    "a_hello a_root a_root_noslash a_index": "web pages, which the bundled server does not offer",
    "c_signature_header c_signature_header_empty c_signature_header_junk c_signature_header_unknown_user": (
        "the signature module is broken in the real server and never to be used"
    ),
    "e_get_key_newline": "header injection; the bundled server answers 500, as the real one does behind gunicorn",
    "f_body_65537 g_accept_encoding": "the body was not recorded in full",
    "g_get_blob_compress_no g_get_blob_compress_default g_get_blob_compress_fast g_get_blob_compress_best": (
        "they read that body; and compression, labelled with an illegal Transfer-Encoding, is not offered"
    ),
    "g_no_content_length g_no_content_length_result": "Transfer-Encoding: identity is a 400, as elsewhere",
    "g_short_body_half_close": "a request cut short is not answered; that nothing is stored is replayed",
    "j_data_for_versions j_data_for_versions_get": "a bulk endpoint that is broken in the real server",
    "n_deleted_row": "needs a row edited by hand in the real database",
}
LEFT_OUT_GROUPS = {
    "h_": "bodies of 20 MB were not recorded; test_put.py makes its own",
    "i_": "bodies of 1 to 600 MB were not recorded; test_put.py makes its own",
    "l_": "outages of PostgreSQL; test_faults.py has drills instead",
    "m_": "configurations of the real server that the bundled one does not have",
    "gunicorn/": "other front ends; where they differ the bundled server follows the recordings of its own listener",
    "apache_mod_wsgi/": "likewise, but for the 411 of chunked uploads, which test_http.py checks",
}
ONLY_FAITHFUL = {
    "g_chunked_upload": "a plain server answers 411",
    "g_chunked_upload_result": "a plain server has stored nothing",
}

TRANSLATED = re.compile(rb"(?<=[?&])(id|version_id|data_key|tr|tr_since)=([0-9.]+)(?=[& ])")
UNCOMPARED_HEADERS = frozenset({"content-length", "connection"})
RECORD_NUMBERS = {"id": "id", "data_key": "data_key", "tr": "tr"}


def cases() -> list[dict[str, Any]]:
    """Read the recordings."""
    loaded: list[dict[str, Any]] = json.loads(DATA.read_text("utf-8"))["cases"]
    return loaded


@dataclass
class Numbers:
    """Numbers of the recording and what they are here."""

    known: dict[str, dict[Any, Any]] = field(default_factory=lambda: {"id": {}, "data_key": {}, "tr": {}})

    def learn(self, kind: str, recorded: Any, here: Any) -> None:
        """Note a pair, or check that it is the one known already."""
        assert self.known[kind].setdefault(recorded, here) == here, (kind, recorded, here)

    def check_order(self) -> None:
        """Check that no two numbers fell together and none changed places."""
        for kind, pairs in self.known.items():
            here = [pairs[number] for number in sorted(pairs)]
            assert len(here) > 30, kind
            assert all(a < b for a, b in itertools.pairwise(here)), kind

    def number_here(self, match: re.Match[bytes]) -> bytes:
        """Translate one query parameter of a recorded request."""
        name, recorded = match[1].decode(), match[2].decode()
        if name in ("tr", "tr_since"):
            return match[1] + b"=" + str(self._time_here(float(recorded))).encode()
        kind = "data_key" if name == "data_key" else "id"
        return match[1] + b"=" + str(self.known[kind].get(int(recorded), recorded)).encode()

    def _time_here(self, recorded: float) -> float:
        """Return a time that lies behind the same version as ``recorded`` did, and before the next."""
        pairs = self.known["tr"]
        before = max((tr for tr in pairs if tr <= recorded), default=None)
        after = min((tr for tr in pairs if tr > recorded), default=None)
        assert before is not None
        return float(pairs[before] + (pairs[after] if after else pairs[before] + 1)) / 2


def octets(body: dict[str, str]) -> bytes:
    """Return the bytes of a recorded body."""
    return base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode()


def request_here(request: dict[str, Any], numbers: Numbers) -> bytes:
    """Return the bytes of a recorded request, with the numbers of this server."""
    line = TRANSLATED.sub(numbers.number_here, request["line"].encode())
    body = octets(request["body"])
    if b"lookup_versions" in line and body.startswith(b'{"ids":['):
        ids = [numbers.known["id"].get(number, number) for number in json.loads(body)["ids"]]
        body = json.dumps({"ids": ids}).encode()
    headers = [(name, value) for name, value in request["headers"] if name != "Content-Length"]
    length = dict(request["headers"]).get("Content-Length")
    if length is not None:
        headers.append(("Content-Length", str(len(body)) if int(length) == len(octets(request["body"])) else length))
    head = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers)
    return line + b"\r\n" + head + b"\r\n" + body


def compare_records(recorded: Any, here: Any, numbers: Numbers) -> None:
    """Compare two JSON values: metadata objects through the table, everything else exactly."""
    if isinstance(recorded, dict) and "data_key" in recorded:
        assert list(recorded) == list(here)
        for name, value in recorded.items():
            if name in RECORD_NUMBERS:
                number = (int(value), int(here[name])) if name == "data_key" else (value, here[name])
                numbers.learn(RECORD_NUMBERS[name], *number)
                assert type(value) is type(here[name])
            else:
                assert value == here[name] or (value != value and here[name] != here[name]), name  # noqa: PLR0124  # NaN
    elif isinstance(recorded, list) and recorded and isinstance(recorded[0], dict):
        assert len(recorded) == len(here)
        for one, other in zip(recorded, here, strict=True):
            compare_records(one, other, numbers)
    else:
        assert recorded == here


def compare_bodies(request: dict[str, Any], recorded: dict[str, Any], reply: Reply, numbers: Numbers) -> None:
    """Compare the bodies of two replies to ``request``."""
    if request["line"].startswith("HEAD "):
        assert reply.body == b""
        return
    if "h3" in recorded:
        reason = re.search(r"<h3>(.*?)</h3>", reply.body.decode(), re.DOTALL)
        assert reason is not None
        # PostgreSQL goes on to echo its SQL, which is not ours.
        assert html.unescape(reason[1]).split("\n")[0] == recorded["h3"].split("\n")[0]
        return
    body = octets(recorded["body"])
    kind = reply.headers["content-type"]
    if kind.startswith("text/json-seq"):
        ours, theirs = ([json.loads(r) for r in text.split(b"\x1e") if r] for text in (reply.body, body))
        if theirs and theirs[0] is not None:
            theirs.sort(key=lambda record: record["id"])
            ours.sort(key=lambda record: record["id"])
        compare_records(theirs, ours, numbers)
    elif kind.startswith("text/json"):
        compare_records(json.loads(body), reply.json, numbers)
    elif request["line"].startswith(("POST", "PUT", "GET /test_on_ucon_prod/app/put")) and body.isdigit():
        numbers.learn("id", int(body), int(reply.body))
    else:
        assert reply.body == body


def compare_headers(recorded: dict[str, Any], reply: Reply, numbers: Numbers) -> None:
    """Compare the headers the real server sent with ours; it sent no others of ours but Date."""
    theirs = {name.lower(): value for name, value in recorded["headers"]}
    assert set(theirs) - UNCOMPARED_HEADERS == set(reply.headers) - UNCOMPARED_HEADERS - {"date"}
    for name in sorted(set(theirs) - UNCOMPARED_HEADERS):
        value, here = theirs[name], reply.headers[name]
        if name == "www-authenticate":
            nonce = re.compile(r"nonce=\"b'([^']+)'\"")
            assert nonce.sub("", value) == nonce.sub("", here)
            match = nonce.search(here)
            assert match is not None
            assert base64.b64decode(match[1]).isdigit()
        elif name == "x-ucondb-metadata":
            compare_records(json.loads(value), json.loads(here), numbers)
        elif name in ("x-ucondb-version-id", "x-ucondb-data-key"):
            numbers.learn("id" if name.endswith("id") else "data_key", int(value), int(here))
        elif name == "x-ucondb-tr":
            numbers.learn("tr", float(value), float(here))
        else:
            assert value == here, name


def replay(server: Server, case: dict[str, Any], numbers: Numbers) -> None:
    """Send the requests of one case and compare every reply."""
    for exchange in case["exchanges"]:
        recorded = exchange["reply"]
        reply = server.raw(request_here(exchange["request"], numbers), exchange["request"]["line"].split()[0])
        assert (reply.status, reply.reason) in (
            (recorded["status"], recorded["reason"]),
            (404, "Not Found") if case["name"] == "a_wrong_instance" else (),
        )
        if case["name"] != "a_wrong_instance":  # there the real listener sends a bare status line
            compare_headers(recorded, reply, numbers)
        compare_bodies(exchange["request"], recorded, reply, numbers)
        if server.options.get("faithful"):
            assert not reply.kept_alive
            had_length = any(name == "Content-Length" for name, _ in recorded["headers"])
            assert ("content-length" in reply.headers) == had_length or case["name"] == "a_wrong_instance"
            assert "transfer-encoding" not in reply.headers
        else:
            assert "content-length" in reply.headers


def test_every_recorded_case_is_replayed_or_left_out_for_a_reason() -> None:
    """No recording is forgotten, and none is both replayed and excused."""
    recorded = set(json.loads(DATA.read_text("utf-8"))["recorded"])
    replayed = {case["name"] for case in cases()}
    named = {name for names in LEFT_OUT for name in names.split()}
    grouped = {name for name in recorded if name.startswith(tuple(LEFT_OUT_GROUPS))}
    assert replayed | named | grouped == recorded
    assert not replayed & (named | grouped)
    assert len(replayed) > 250


@pytest.mark.parametrize("faithful", [False, True], ids=["plain", "faithful"])
def test_replies_are_those_of_the_real_server(launch: Callable[..., Server], tmp_path: Path, faithful: bool) -> None:
    """Each recorded request gets the recorded status, reason, headers and body, in the recorded order."""
    servers = {
        "q": launch(tmp_path / "q", faithful=faithful),  # the probes start from an empty folder
        "": launch(tmp_path / "all", faithful=faithful),
    }
    numbers_of = {letter: Numbers() for letter in servers}
    for case in cases():
        if not faithful and case["name"] in ONLY_FAITHFUL:
            continue
        letter = "q" if case["name"].startswith("q_") else ""
        try:
            replay(servers[letter], case, numbers_of[letter])
        except AssertionError as error:
            raise AssertionError(f"{case['name']} ({case['what']})") from error
    numbers_of[""].check_order()
