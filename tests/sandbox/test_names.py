"""The names the data is built from: what makes them odd, and what keeps them apart."""

from __future__ import annotations

import re
from itertools import permutations

from keyapi_async.sandbox.names import (
    AUDIENCE_COUNTRIES,
    COUNTRIES,
    HASHTAG_WORDS,
    INDUSTRIES,
    INTERESTS,
)


def test_no_word_is_another_word_and_a_number() -> None:
    for word, other in permutations(HASHTAG_WORDS, 2):
        assert not re.fullmatch(re.escape(word) + "[0-9]*", other)


def test_what_is_packed_comes_out_whole() -> None:
    assert COUNTRIES["GB"] == "United Kingdom"
    assert (len(INDUSTRIES), INDUSTRIES["28000000000"]) == (18, "Sports & Outdoor")
    assert {"id": "2186224", "label": "NZ", "value": "New Zealand"} in AUDIENCE_COUNTRIES
    assert {"id": "10061", "label": "diversify_10061", "value": "Fitness"} in INTERESTS
    assert (len(AUDIENCE_COUNTRIES), len(INTERESTS)) == (11, 10)
