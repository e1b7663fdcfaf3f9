"""The client's bytes: what it sends, and where it sees an answer end."""

import pytest

from bench.wire import AnswerReader, WireError, make_request

ANSWER = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
    b'Server: any\r\n\r\n{"a":1}'
)


def test_whole_answer_is_seen() -> None:
    """An answer in one piece is over at once, with its status and the size of its body."""
    reader = AnswerReader()

    is_whole = reader.feed(ANSWER)

    assert is_whole
    assert (reader.status, reader.body_bytes) == (202, 7)


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_answer_cut_anywhere_is_seen(cut: int) -> None:
    """Wherever an answer is cut in two, it is over with the second piece and not before."""
    reader = AnswerReader()

    whole = [reader.feed(ANSWER[:cut]), reader.feed(ANSWER[cut:])]

    assert whole == [False, True]
    assert (reader.status, reader.body_bytes) == (202, 7)


def test_answer_in_single_bytes_is_seen() -> None:
    """An answer that drips is over with its last byte."""
    reader = AnswerReader()

    whole = [reader.feed(bytes([byte])) for byte in ANSWER]

    assert whole == [False] * (len(ANSWER) - 1) + [True]


def test_answers_follow_one_another() -> None:
    """After one answer comes the next, with a status and a length of its own."""
    reader = AnswerReader()
    empty = b"HTTP/1.1 503 Full\r\ncontent-length: 0\r\n\r\n"

    seen = [(reader.feed(data), reader.status, reader.body_bytes) for data in (ANSWER, empty)]

    assert seen == [(True, 202, 7), (True, 503, 0)]


def test_header_that_ends_like_the_length_is_another() -> None:
    """Only a header of exactly that name tells the length."""
    reader = AnswerReader()

    is_whole = reader.feed(b"HTTP/1.1 200 OK\r\nX-Content-Length: 5\r\nContent-Length: 2\r\n\r\n{}")

    assert is_whole
    assert reader.body_bytes == 2


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\nContent-Length: 0\r\n\r\n",
        ANSWER + b"HTTP/1.1",
    ],
    ids=["chunks", "another protocol", "more than was asked for"],
)
def test_answer_without_use_is_an_error(data: bytes) -> None:
    """What this client cannot measure is refused, never counted."""
    reader = AnswerReader()

    with pytest.raises(WireError):
        reader.feed(data)


def test_request_is_whole() -> None:
    """A request has its start line, host, headers, length and body, and nothing else."""
    request = make_request("POST", "/here", b"{}", {"Content-Type": "text/plain"})

    assert request == (
        b"POST /here HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
