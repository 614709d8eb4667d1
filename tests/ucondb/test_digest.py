"""Digest logins: the worked example, the recorded ones, and headers of any shape."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiverd.ucondb.digest import Challenge, authorization, parse_challenge
from tests.ucondb.playback import DATA

RECORDED: list[dict[str, Any]] = json.loads((DATA / "logins.json").read_text())
NONCE = "b'MTc5NTQ3MjI1NQ=='"
TARGET = "/test_on_ucon_prod/app/data/test01/configuration?full_meta=yes&tag=1001&key=1001&override=no"


def test_worked_example() -> None:
    """The login of ucondb_protocol.md section 7 comes out to the byte."""
    value = authorization(
        Challenge("ucon_prd.test01", NONCE),
        "writer",
        "writer-pw-1",
        method="POST",
        target=TARGET,
        count=1,
        cnonce="0a4f113b",
    )
    assert value == (
        f'Digest username="writer", realm="ucon_prd.test01", nonce="{NONCE}", uri="{TARGET}", '
        'algorithm=MD5, qop=auth, nc=00000001, cnonce="0a4f113b", response="583f44ea5721e278138aea7127461b32"'
    )


@pytest.mark.parametrize("case", RECORDED, ids=[case["recording"] for case in RECORDED])
def test_recorded_logins(case: dict[str, Any]) -> None:
    """Every login that the real server took is the one we would have sent."""
    sent = dict(re.findall(r'(\w+)="?([^",]*)"?', case["authorization"].removeprefix("Digest ")))
    challenge = Challenge(sent["realm"], sent["nonce"])
    ours = authorization(
        challenge,
        "writer",
        "writer-pw-1",
        method=case["method"],
        target=sent["uri"],
        count=int(sent["nc"], 16),
        cnonce=sent["cnonce"],
    )
    assert ours == case["authorization"]


@pytest.mark.parametrize(
    "header",
    [
        f'Digest realm="ucon_prd.test01", nonce="{NONCE}", algorithm=MD5, qop="auth"',
        f'digest qop="auth-int,auth",nonce="{NONCE}",realm=ucon_prd.test01',
        f'Basic realm="x", Digest realm="ucon_prd.test01", nonce="{NONCE}", qop=auth',
    ],
)
def test_challenge_is_taken_verbatim(header: str) -> None:
    """Realm and nonce come out as they stand, Python's b'…' included, in whatever order and case."""
    assert parse_challenge(header) == Challenge("ucon_prd.test01", NONCE)


@pytest.mark.parametrize(
    "header",
    [
        "",
        'Basic realm="ucon"',
        'Digest realm="r", algorithm=MD5, qop="auth"',
        'Digest nonce="n", qop="auth"',
        'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"',
        'Digest realm="r", nonce="n", qop="auth-int"',
    ],
)
def test_challenge_that_cannot_be_answered(header: str) -> None:
    """A challenge without realm or nonce, or for another kind of login, is none."""
    assert parse_challenge(header) is None


@given(st.text(max_size=80))
def test_any_header_is_understood_or_none(text: str) -> None:
    """No header, however mangled, ends in an exception or in empty words."""
    challenge = parse_challenge(f"Digest {text}")
    assert challenge is None or (f"{challenge.realm}" in text and challenge.nonce in text)
