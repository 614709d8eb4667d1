"""Looking up, listing, checking: what the client believes of each recorded answer."""

from __future__ import annotations

import json

import pytest

from archiverd.core.errors import Retry, UconDBError
from archiverd.ucondb.port import Blob, StoredVersion
from tests.ucondb.playback import PASSWORD, Step, body_of, freeze, play, playing, recorded, reply, reset, say

LOOK_UP = "GET /data/test01/configuration?key=1001&meta_only=yes"
LIST = "GET /versions?folder=test01&object=configuration&tv=1e12"
PROBE = "POST /data/test01/configuration?tv=x"
FOUND = StoredVersion("1001", 1, 15, 710607990)


async def test_what_is_there_is_found() -> None:
    """A look-up asks for metadata only and gives id, size and unsigned checksum."""
    async with playing(play("d_get_meta_only")) as (ucondb, server):
        assert await ucondb.look_up("1001") == FOUND
        assert server.asked == [LOOK_UP]
        assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_version_not_found_is_absence() -> None:
    """404 with the words for a missing version proves absence (T11)."""
    async with playing(play("d_get_key_missing_meta")) as (ucondb, _):
        assert await ucondb.look_up("1001") is None


async def test_an_object_without_versions_is_absence_once_the_list_says_so() -> None:
    """The 500 of a new object is believed only together with the 404 of its list (T12)."""
    async with playing(play("n_new_object_reads", 1), play("n_new_object_reads", 2)) as (ucondb, server):
        assert await ucondb.look_up("1001") is None
        assert server.asked == [LOOK_UP, LIST]


async def test_an_object_that_has_versions_after_all_is_not_absence() -> None:
    """The same 500 twice, with a list that exists, is the server's trouble: transient."""
    twice = [play("n_new_object_reads", 1), play("d_get_versions_tv")] * 2
    async with playing(*twice) as (ucondb, _):
        with pytest.raises(UconDBError, match=r"^Failed to look up run 1001 in UconDB: 500 ") as caught:
            await ucondb.look_up("1001")
    assert (caught.value.retry, caught.value.run) == (Retry.TRANSIENT, 1001)


async def test_a_first_version_that_comes_while_it_is_looked_up_is_found() -> None:
    """The object's first version, stored between the two requests of a look-up, is found by asking once more."""
    answers = (play("n_new_object_reads", 1), play("d_get_versions_tv"), play("d_get_meta_only"))
    async with playing(*answers) as (ucondb, server):
        assert await ucondb.look_up("1001") == FOUND
        assert server.asked == [LOOK_UP, LIST, LOOK_UP]


async def test_an_unknown_folder_names_the_setting() -> None:
    """Reading from a folder that does not exist is reported as such, not as an absent run."""
    async with playing(play("d_get_folder_missing"), play("a_versions_missing_folder")) as (ucondb, _):
        with pytest.raises(UconDBError, match="Folder nosuch not found") as caught:
            await ucondb.look_up("1001")
    assert "ucon_db.folder_name" in caught.value.remedy


@pytest.mark.parametrize(
    "answer",
    [
        recorded("raw/15_wrong_instance"),
        reply("404 Not StoredVersion", b"<html>nothing here</html>"),
        reply("404 Not StoredVersion", framed=False),
        reply("302 StoredVersion"),
        reply("403 Forbidden"),
    ],
)
async def test_no_other_refusal_is_absence(answer: bytes) -> None:
    """A wrong address, a proxy's page, a redirect: errors whose remedy names settings, never absence."""
    async with playing(say(answer)) as (ucondb, _):
        with pytest.raises(UconDBError) as caught:
            await ucondb.look_up("1001")
    assert "ucon_db." in caught.value.remedy


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (recorded("raw/21_overload_503"), "503 Service unavailable"),
        (recorded("l_pgdown_meta"), "500 Application Error: connection to server at"),
        (recorded("d_get_meta_only")[:-3], "Server disconnected|metadata|closed"),
        (reply("200 OK", b"{}"), "metadata of key 1001"),
        (reply("200 OK", body_of("d_get_meta_only").replace(b"1001", b"1002")), "metadata of key 1001"),
    ],
)
async def test_trouble_is_transient(answer: bytes, words: str) -> None:
    """An overloaded server, a stopped database, a cut or foreign reply say nothing about the run."""
    steps = 3 if answer == recorded("d_get_meta_only")[:-3] else 1
    async with playing(*[say(answer)] * steps) as (ucondb, _):
        with pytest.raises(UconDBError, match=words) as caught:
            await ucondb.look_up("1001")
    assert caught.value.retry is Retry.TRANSIENT


async def test_an_error_page_is_cut_to_one_line() -> None:
    """Of a page only the reason is kept, on one line and not endless (T18)."""
    page = (
        b"<h2>Application error</h2>\n<h3>line one\n\tline \x1b[31mtwo " + b"x" * 5000 + b"</h3><pre>secret host</pre>"
    )
    async with playing(say(reply("500 Application Error", page))) as (ucondb, _):
        with pytest.raises(UconDBError) as caught:
            await ucondb.look_up("1001")
    assert str(caught.value).startswith(
        "Failed to look up run 1001 in UconDB: 500 Application Error: line one line [31mtwo xxx"
    )
    assert len(str(caught.value)) < 450
    assert "secret host" not in f"{caught.value} {caught.value.context}"


async def test_a_reading_request_that_breaks_off_is_made_again_at_once() -> None:
    """A connection reset twice costs nothing but two requests."""
    async with playing(reset(), reset(b"HTTP/1.1 2"), play("d_get_meta_only")) as (ucondb, server):
        assert await ucondb.look_up("1001") == FOUND
        assert server.asked == [LOOK_UP] * 3


async def test_a_reading_request_is_not_made_for_ever() -> None:
    """After three resets the caller gets an error, in the operating system's words."""
    async with playing(reset(), reset(), reset()) as (ucondb, _):
        with pytest.raises(UconDBError, match=r"Connection reset by peer|disconnected") as caught:
            await ucondb.look_up("1001")
    assert caught.value.retry is Retry.TRANSIENT


async def test_a_frozen_server_is_asked_once() -> None:
    """A timeout is reported with its number, as the runbook quotes it, and not repeated."""
    async with playing(freeze(), timeout_seconds=2.0) as (ucondb, _):
        with pytest.raises(UconDBError, match=r"Read timed out \(read timeout=2\)$"):
            await ucondb.look_up("1001")


@pytest.mark.parametrize("key", ["", "a\r\nX-Injected: 1", "a;b", "<1>"])
async def test_an_impossible_key_is_not_sent(key: str) -> None:
    """A key or tag the server cannot take is refused here, for good."""
    async with playing() as (ucondb, _):
        for call in (
            ucondb.look_up(key),
            ucondb.store(key, Blob.of(b""), tag="1", look_first=False),
            ucondb.store("1", Blob.of(b""), tag=key, look_first=False),
        ):
            with pytest.raises(UconDBError, match="cannot be a key") as caught:
                await call
            assert caught.value.retry is Retry.PERMANENT


async def test_all_keys_are_listed() -> None:
    """The list asks for versions of every validity time and leaves out those without a key (T9, T13)."""
    async with playing(play("d_get_versions_tv")) as (ucondb, server):
        found = await ucondb.list_keys()
        assert server.asked == [LIST]
    assert found["1001"] == FOUND
    assert found["1011"].data_size == 15
    assert None not in found


async def test_an_object_without_versions_has_an_empty_list() -> None:
    """404 of the object is an empty list; 404 of the folder is an error."""
    async with playing(play("a_versions_missing_object"), play("a_versions_missing_folder")) as (ucondb, _):
        assert await ucondb.list_keys() == {}
        with pytest.raises(UconDBError, match="Folder nosuch not found"):
            await ucondb.list_keys()


async def test_a_list_that_breaks_off_is_an_error() -> None:
    """Status 200 without the closing bracket is what a dying database leaves: transient, never a shorter list."""
    cut = recorded("d_get_versions_tv")[:-500]
    async with playing(say(cut), say(recorded("d_get_versions_tv")[:-1])) as (ucondb, _):
        for _ in range(2):
            with pytest.raises(UconDBError, match=r"^Failed to list the runs in UconDB: ") as caught:
                await ucondb.list_keys()
            assert caught.value.retry is Retry.TRANSIENT


async def test_many_keys_are_looked_up_at_once_and_every_absence_is_proven() -> None:
    """Keys go as texts; one that the bulk answer lacks is looked up by itself (T10, T11)."""
    steps = play("j_lookup_keys"), play("d_get_key_missing_meta")
    async with playing(*steps) as (ucondb, server):
        found = await ucondb.look_up_all(["1001", "1003", "nope", "1001"])
    assert found == {"1001": FOUND, "1003": StoredVersion("1003", 3, 15, 710870136)}
    assert json.loads(server.requests[0].body) == {"keys": ["1001", "1003", "nope"]}
    assert server.asked[1] == "GET /data/test01/configuration?key=nope&meta_only=yes"


async def test_an_empty_bulk_answer_is_no_proof() -> None:
    """A version that the bulk answer lost, as a dying database makes it, is found by its own look-up."""
    async with playing(play("j_lookup_keys_all_missing"), play("d_get_meta_only")) as (ucondb, _):
        assert await ucondb.look_up_all(["1001"]) == {"1001": FOUND}


async def test_a_bulk_question_about_an_empty_object_is_one_request() -> None:
    """404 of the object proves all absences at once; no keys are no request."""
    async with playing(play("j_lookup_missing_object")) as (ucondb, server):
        assert await ucondb.look_up_all([]) == {}
        assert await ucondb.look_up_all(["1", "2"]) == {}
        assert len(server.requests) == 1


async def test_check_proves_server_database_and_login() -> None:
    """A check asks /probe, then logs in for a put that cannot store anything."""
    steps = play("a_probe"), play("q_safe_probe_with_credentials", 0), play("q_safe_probe_with_credentials", 1)
    async with playing(*steps) as (ucondb, server):
        await ucondb.check()
    assert server.asked == ["GET /probe", PROBE, PROBE]
    assert [request.body for request in server.requests] == [b""] * 3
    assert "authorization" not in server.requests[1].headers
    assert server.requests[2].headers["authorization"].startswith('Digest username="writer", realm="ucon_prd.test01"')


@pytest.mark.parametrize(
    ("steps", "words", "remedy"),
    [
        ([play("l_pgdown_probe")], "connection to server at", ""),
        ([play("raw/15_wrong_instance")], "404 Service not found", "server_url"),
        ([play("a_probe"), play("c_noauth_missing_folder")], "Folder not found", "folder_name"),
        ([play("a_probe"), play("m_read_only_put")], "405 Method Not Allowed", "read-only"),
        (
            [play("a_probe"), play("q_safe_probe_wrong_password", 0), play("q_safe_probe_wrong_password", 1)],
            "401 Unauthorized$",
            "writer_password",
        ),
    ],
)
async def test_check_says_what_is_wrong_and_what_to_do(steps: list[Step], words: str, remedy: str) -> None:
    """Each failed check begins with the runbook's words and names the setting; the password is nowhere."""
    async with playing(*steps) as (ucondb, _):
        with pytest.raises(UconDBError, match=f"^Failed to initialize UConDB client: .*{words}") as caught:
            await ucondb.check()
    assert remedy in caught.value.remedy
    assert PASSWORD not in f"{caught.value!r} {caught.value.remedy} {caught.value.context}"
