"""What threads prepare: in order, a few ahead and no more, with their errors."""

from __future__ import annotations

import threading
from itertools import count, islice

import pytest

from matlens.data.ahead import made_in_threads, prepared_ahead


def test_what_threads_make_comes_in_the_order_of_its_sources(monkeypatch):
    """Features are written row by row beside the photos' names; the first source here ends after the second."""
    monkeypatch.setattr("matlens.data.ahead.os.cpu_count", lambda: 2)
    second_is_made = threading.Event()

    def make(number: int) -> int:
        if number == 0:
            second_is_made.wait(timeout=300)
        if number == 1:
            second_is_made.set()
        return number * number

    assert list(made_in_threads(make, range(50))) == [number * number for number in range(50)]


def test_what_threads_make_is_made_a_few_ahead_only(monkeypatch):
    """All photos of a large data set would not fit into memory."""
    monkeypatch.setattr("matlens.data.ahead.os.cpu_count", lambda: 3)
    drawn: list[int] = []
    made = made_in_threads(lambda number: number, (drawn.append(number) or number for number in count()))
    assert list(islice(made, 10)) == list(range(10))
    assert len(drawn) == 13
    made.close()


def test_an_error_in_a_thread_is_raised_in_its_place():
    """A damaged row must be heard of, after what came before it."""
    seen = []
    with pytest.raises(ZeroDivisionError):
        for value in made_in_threads(lambda number: 6 // (3 - number), range(10)):
            seen.append(value)
    assert seen == [2, 3, 6]


def test_an_empty_result_is_no_end():
    """None and empty lists are items as others."""
    assert list(prepared_ahead(iter([None, [], None]))) == [None, [], None]
