"""Who is let in: nobody without the token, no other host's page, and nothing is kept or embedded."""

import asyncio
import errno
import json
from pathlib import Path

import httpx
import pytest

from clinfed.corpus.note import Note, Span
from clinfed.corpus.writers import write_jsonl
from clinfed.review import saved
from clinfed.review.access import Address
from clinfed.review.app import make_app
from clinfed.review.desk import Desk
from clinfed.review.notes import Review
from clinfed.review.saved import CorrectionsFile

ADDRESS = Address(5000)
OWN = "http://127.0.0.1:5000"
INSIDE = f"{OWN}/{ADDRESS.place}/"
PATHS = ("", "review.js", "corrections.js", "review.css", "index.json", "notes/0.json")
NOTES = [Note("n1", "canarytext amb tos", (), "ca", "p1"), Note("n2", "canarytext", (), "es")]
COUGH = Span(((15, 18),), "R05")
SAID = {"n1": (COUGH, Span(((0, 10),), "I10"))}  # in reading order: I10, R05


class Client:
    """A browser, as it were: it keeps cookies from one request to the next."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "notes.corrections.jsonl"
        if not (source := folder / "notes.jsonl").exists():
            write_jsonl(NOTES, source)
        review = Review.of(NOTES, SAID, titles=lambda code, language: "", details={})
        self.transport = httpx.ASGITransport(make_app(Desk(review, CorrectionsFile(self.file, source)), ADDRESS))
        self.cookies = httpx.Cookies()

    def ask(self, method: str, url: str, *, content: bytes = b"", **headers: str) -> httpx.Response:
        """Return the answer."""

        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, cookies=self.cookies) as client:
                answer = await client.request(method, url, headers=headers, content=content)
                self.cookies = client.cookies
                return answer

        return asyncio.run(once())

    def get(self, url: str, **headers: str) -> httpx.Response:
        """Return the answer to a request that changes nothing."""
        return self.ask("GET", url, **headers)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Return a browser that has not been here before."""
    return Client(tmp_path)


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_token(client: Client, path: str) -> None:
    for asked in (INSIDE + path, f"{INSIDE}{path}?token=wrong", f"{INSIDE}{path}?token="):
        answer = client.get(asked)
        assert (answer.status_code, "canary" in answer.text) == (403, False)
    assert not client.cookies


def test_another_cookie_opens_nothing(client: Client) -> None:
    client.cookies.set(ADDRESS.cookie, "wrong")
    assert client.get(f"{INSIDE}notes/0.json").status_code == 403


def test_the_token_is_exchanged_for_a_cookie_of_this_page_alone(client: Client) -> None:
    answer = client.get(ADDRESS.url)
    assert 'content="0; url=./"' in answer.text  # on to an address without the token
    assert "canary" not in answer.text
    cookie = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict", f"Path=/{ADDRESS.place}/"} <= set(cookie)
    assert [client.get(INSIDE + path).status_code for path in PATHS] == [200] * len(PATHS)
    assert client.get(f"{INSIDE}notes/0.json").json()["pieces"][0] == ["canarytext", {"0": "predicted"}]


def test_a_token_opens_the_first_page_only(client: Client) -> None:
    # The notes' own addresses never hold it.
    assert client.get(f"{INSIDE}notes/0.json?token={ADDRESS.token}").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5000", "127.0.0.1", "127.0.0.1:5001", "localhost:5001"])
def test_another_hosts_name_is_refused_even_with_the_token(client: Client, host: str) -> None:
    assert client.get(ADDRESS.url, host=host).status_code == 400


def test_localhost_is_this_machine_too(client: Client) -> None:
    assert client.get(ADDRESS.url, host="localhost:5000").status_code == 200


def test_every_answer_forbids_embedding_keeping_and_loading_from_elsewhere(client: Client) -> None:
    opened = client.get(ADDRESS.url)
    answers = [opened, *(client.get(INSIDE + path) for path in PATHS), client.get(f"{INSIDE}notes/2.json")]
    refused = [client.get("http://127.0.0.1:5000/"), client.get(ADDRESS.url, host="evil.example")]
    assert [answer.status_code for answer in answers] == [200] * 7 + [404]
    for answer in answers + refused:
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_and_notes_are_only_read(client: Client) -> None:
    client.get(ADDRESS.url)
    assert [client.ask("POST", INSIDE + path, origin=OWN).status_code for path in PATHS] == [405] * len(PATHS)
    assert client.get(f"{INSIDE}notes/0/correction").status_code == 405


def test_two_pages_have_their_own_tokens_places_and_cookies() -> None:
    one, other = Address(5000), Address(5001)
    assert len({one.token, other.token}) == len({one.place, other.place}) == len({one.cookie, other.cookie}) == 2
    assert len(one.token) >= 43  # 32 random bytes in base 64
    assert one.token not in repr(one)


def sent(client: Client, number: int = 0, **changed: object) -> httpx.Response:
    """Return the answer to a correction of a note, complete and from the page itself but for what is changed."""
    headers = {"origin": OWN, "content-type": "application/json"} | dict(changed.pop("headers", {}))  # type: ignore[call-overload]
    content = {"revision": 0, "decisions": ["neither", {"code": "r051"}], "added": [], "reviewed": True} | changed
    body = json.dumps({name: value for name, value in content.items() if value is not ...}).encode()
    return client.ask("POST", f"{INSIDE}notes/{number}/correction", content=body, **headers)


def test_a_correction_without_the_token_or_from_another_page_is_refused(client: Client) -> None:
    assert sent(client).status_code == 403
    client.get(ADDRESS.url)
    for origin in ("http://evil.example", "http://127.0.0.1:5001", "http://localhost:5000", "null", ""):
        assert sent(client, headers={"origin": origin}).status_code == 403
    assert sent(client, headers={"host": "evil.example"}).status_code == 400
    assert not client.file.exists()
    answer = sent(client)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.file.exists()


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"headers": {"content-type": "text/plain"}}, 415, "expected application/json"),
        ({"added": ["canary" * 200_000]}, 413, "more than 1,000,000 bytes"),
        ({"number": 7}, 404, ""),
        ({"decisions": ...}, 400, "expected revision, reviewed, decisions and added"),
        ({"more": "canary"}, 400, "expected revision, reviewed, decisions and added"),
        ({"revision": True}, 409, "another window"),
        ({"revision": 1}, 409, "another window"),
        ({"decisions": ["neither"]}, 400, "1 decisions on 2 mentions"),
        ({"decisions": ["neither", "canary"]}, 400, "unknown decision"),
        ({"decisions": ["neither", "gold"]}, 400, "unknown decision"),
        ({"decisions": ["neither", {"code": "canary"}]}, 400, "has not the form of ICD-10"),
        ({"decisions": ["neither", {"code": "D003924"}]}, 400, "the form of MeSH's"),
        ({"decisions": ["neither", None]}, 400, "1 undecided"),
        ({"added": [[0, 19, "I10"]]}, 400, "[0, 19) is not inside the note (18 characters)"),
        ({"added": [[3, 3, "I10"]]}, 400, "not inside"),
        ({"added": [[-1, 3, "I10"]]}, 400, "not inside"),
        ({"added": [[10, 14, "I10"]]}, 400, "blank"),
        ({"added": [[0, True, "I10"]]}, 400, "not [start, end, code]"),
        ({"added": [[0, 10, "canary"]]}, 400, "has not the form of ICD-10"),
        ({"added": [[0, 10, "I10"], [0, 10, "I10"]]}, 400, "there already"),
        ({"added": [[15, 18, "R05.1"]]}, 400, "there already"),
    ],
)
def test_a_broken_correction_is_refused_with_a_reason_and_no_word_of_the_note(
    client: Client, changed: dict[str, object], status: int, reason: str
) -> None:
    client.get(ADDRESS.url)
    answer = sent(client, **changed)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert reason in answer.text
    assert "canary" not in answer.text
    assert not client.file.exists()
    assert client.get(f"{INSIDE}notes/0.json").json()["state"] == 0


@pytest.mark.parametrize("body", [b"", b"canary", b"[]", b'{"revision": 0, "revision": 0}', b"[" * 100_000, b"\xff"])
def test_what_is_no_json_object_is_refused(client: Client, body: bytes) -> None:
    client.get(ADDRESS.url)
    headers = {"origin": OWN, "content-type": "application/json"}
    answer = client.ask("POST", f"{INSIDE}notes/0/correction", content=body, **headers)
    assert (answer.status_code, "canary" in answer.text) == (400, False)


def test_a_full_disk_is_named_and_the_note_stays_as_it_was(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(notes: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    client.get(ADDRESS.url)
    monkeypatch.setattr(saved, "write_jsonl", full)
    answer = sent(client)
    assert answer.status_code == 507
    assert answer.json()["error"].startswith(f"{client.file}: no space is left on its disk")
    assert client.get(f"{INSIDE}notes/0.json").json()["state"] == 0
