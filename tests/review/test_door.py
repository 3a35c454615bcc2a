"""Who is let in: nobody without the token, no other host's page, and nothing is kept or embedded."""

import asyncio

import httpx
import pytest

from clinfed.corpus.note import Note
from clinfed.review.app import make_app
from clinfed.review.door import Address
from clinfed.review.notes import Review

ADDRESS = Address(5000)
INSIDE = f"http://127.0.0.1:5000/{ADDRESS.place}/"
PATHS = ("", "review.js", "review.css", "index.json", "notes/0.json")


class Client:
    """A browser, as it were: it keeps cookies from one request to the next."""

    def __init__(self) -> None:
        review = Review.of([Note("n1", "canarytext")], {}, titles=lambda code, language: "", details={})
        self.transport = httpx.ASGITransport(make_app(review, ADDRESS))
        self.cookies = httpx.Cookies()

    def ask(self, method: str, url: str, **headers: str) -> httpx.Response:
        """Return the answer."""

        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, cookies=self.cookies) as client:
                answer = await client.request(method, url, headers=headers)
                self.cookies = client.cookies
                return answer

        return asyncio.run(once())

    def get(self, url: str, **headers: str) -> httpx.Response:
        """Return the answer to a request that changes nothing."""
        return self.ask("GET", url, **headers)


@pytest.fixture
def client() -> Client:
    """Return a browser that has not been here before."""
    return Client()


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
    assert client.get(f"{INSIDE}notes/0.json").json()["pieces"] == [["canarytext", {}]]


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
    answers = [opened, *(client.get(INSIDE + path) for path in PATHS), client.get(f"{INSIDE}notes/1.json")]
    refused = [client.get("http://127.0.0.1:5000/"), client.get(ADDRESS.url, host="evil.example")]
    assert [answer.status_code for answer in answers] == [200] * 6 + [404]
    for answer in answers + refused:
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_it_only_reads(client: Client) -> None:
    client.get(ADDRESS.url)
    assert client.ask("POST", f"{INSIDE}notes/0.json").status_code == 405


def test_two_pages_have_their_own_tokens_places_and_cookies() -> None:
    one, other = Address(5000), Address(5001)
    assert len({one.token, other.token}) == len({one.place, other.place}) == len({one.cookie, other.cookie}) == 2
    assert len(one.token) >= 43  # 32 random bytes in base 64
    assert one.token not in repr(one)
