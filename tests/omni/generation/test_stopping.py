"""Where text pauses: the published rule, and ours that leaves words and numbers whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from omni.generation.stopping import PauseRule, StopStrings, WordAwareStops, pause_rule
from omni.options import NEXT_TEXT_STOPS
from omni.prompting.tokenizer import OmniTokenizer

FULL_TOKENIZER = os.environ.get("OMNI_FULL_TOKENIZER")


def stops_after(rule: PauseRule, pieces: list[str], context: str = "") -> list[bool]:
    """For every prefix of the pieces, whether the rule stops at its last one."""
    rule.begin(context)
    return [rule.after(piece, piece.replace("�", "")) for piece in pieces]


def spoken(pieces: list[str], stops: tuple[str, ...] = NEXT_TEXT_STOPS) -> list[str]:
    """The pieces of text between our rule's pauses; what was held back is written again."""
    rule = WordAwareStops(stops)
    rule.begin("")
    result = [""]
    for piece in pieces:
        if rule.before(piece):
            result.append("")
            rule.begin("")
        result[-1] += piece
        if rule.after(piece, piece.replace("�", "")):
            result.append("")
            rule.begin("")
    return [text for text in result if text]


@pytest.mark.parametrize(
    ("pieces", "stops"),
    [
        (["Mr", ".", " Smith", ".", " ok"], [False, False, True, False, True]),
        (["1", ",", "000"], [False, True, False]),
        (["a", ",b", "c"], [False, True, False]),
        (["end", ".\n\n", "next"], [False, False, False]),
        ([".", " ", " two"], [False, True, False]),
        (['"', "yes", '!"', " and"], [False, False, True, False]),
        (["好", "。”", "他"], [False, True, False]),
        (["�", "�", "x"], [False, False, False]),
    ],
)
def test_published_rule(pieces: list[str], stops: list[bool]) -> None:
    assert stops_after(StopStrings(NEXT_TEXT_STOPS), pieces) == stops


def test_published_rule_looks_back_into_the_prompt() -> None:
    assert stops_after(StopStrings([". "]), [" x"], context="end.") == [True]
    assert stops_after(StopStrings([". "]), [" x"], context="end. ") == [False]
    assert stops_after(StopStrings(["abc"]), ["b", "c", "c"], context="xa") == [False, True, False]


def test_published_rule_matches_a_spelled_out_mark() -> None:
    rule = StopStrings(["<mark>"])
    assert stops_after(rule, ["<", "mar", "k", "> and"]) == [False, False, False, True]


def test_published_rule_without_stop_texts() -> None:
    assert stops_after(StopStrings(()), ["a", ",", " b"]) == [False] * 3


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # numbers
        (["It", " costs", " ", "3", ",", "0", "0", "0", "."], ["It costs 3,000."]),
        (["pi", " is", " ", "3", ".", "1", "4", ".", " Then"], ["pi is 3.14.", " Then"]),
        (["数字", "１", "，", "２", "，", "好"], ["数字１，２，", "好"]),
        (["1", ".", " First", ",", " that"], ["1. First,", " that"]),
        (["a\n", "2", ".", " Then", ".", " So"], ["a\n2. Then.", " So"]),
        (["in", " ", "2", "0", "2", "4", ".", " Then"], ["in 2024.", " Then"]),
        # abbreviations and initials
        (["fruit", " (", "e", ".g", ".", " a", ")", "."], ["fruit (e.g. a)."]),
        (["Mr", ".", " Smith", ".", " ok"], ["Mr. Smith.", " ok"]),
        (["U", ".S", ".A", ".", " is", " big", "!", " Yes"], ["U.S.A. is big!", " Yes"]),
        (["J", ".", " Bach", ",", " yes"], ["J. Bach,", " yes"]),
        # words
        (["a", ",b", ",c", " d"], ["a,b,c d"]),
        (["see", " a", "?q", "=", "1", "!", " ok"], ["see a?q=1!", " ok"]),
        # marks in a row, quotes and brackets
        (["he", " said", ' "', "yes", '!"', " and"], ['he said "yes!"', " and"]),
        (["等等", "……", "好", "。”", "他"], ["等等……好。”", "他"]),
        (["好", "。", "”", "他"], ["好。”", "他"]),
        (["好的", "！！", "！", "走"], ["好的！！！", "走"]),
        (["Wait", ".", ".", ".", " what", "?!", " No"], ["Wait...", " what?!", " No"]),
        # plain sentences
        (["你好", "，", "我是"], ["你好，", "我是"]),
        (["end", ".\n\n", "next"], ["end.\n\n", "next"]),
        (["end", ".", "\n", "next"], ["end.", "\nnext"]),
        (["Hello", ",", "你好", "。"], ["Hello,", "你好。"]),
        (["OK", ".", "你好"], ["OK.", "你好"]),
        (["Hi", "!", "�", "�", "x"], ["Hi!", "��x"]),
        # nothing to speak yet
        ([".", " two"], [". two"]),
        (["，", "好", "，", "的"], ["，好，", "的"]),
    ],
)
def test_our_rule(pieces: list[str], expected: list[str]) -> None:
    assert spoken(pieces) == expected


def test_our_rule_takes_characters_that_several_tokens_make() -> None:
    rule = WordAwareStops(["。"])
    rule.begin("")
    assert not rule.after("好", "好")
    assert not rule.after("�", "")
    assert not rule.after("�", "。")
    assert rule.before("他")


def test_our_rule_forgets_at_the_start_of_a_call() -> None:
    rule = WordAwareStops(NEXT_TEXT_STOPS)
    rule.begin("")
    rule.after("Hi,", "Hi,")
    rule.begin("")
    assert not rule.before(" you")


def test_our_rule_stops_at_other_texts_as_the_published_one() -> None:
    assert spoken(["a", "\n", "\nb", "c"], ("\n\n",)) == ["a\n\nb", "c"]
    assert spoken(["the", " END", " x"], ("END",)) == ["the END", " x"]
    assert spoken(["a", ".", " b"], ("!",)) == ["a. b"]


def test_the_option_chooses_the_rule() -> None:
    assert isinstance(pause_rule((), True), StopStrings)
    assert isinstance(pause_rule((), False), WordAwareStops)


def recorded_stops() -> list[Any]:
    """What the published code did with the published vocabulary, one case a set of stops."""
    if not FULL_TOKENIZER:
        return []
    data = Path(FULL_TOKENIZER, "tokenizer_processor.json").read_text(encoding="utf-8")
    return list(json.loads(data).get("stop", []))


needs_full_tokenizer = pytest.mark.skipif(
    not FULL_TOKENIZER,
    reason="set OMNI_FULL_TOKENIZER to a folder with the published tokenizer and its recordings",
)


@needs_full_tokenizer
def test_published_rule_equals_the_recordings() -> None:
    cases = recorded_stops()
    if not cases:
        pytest.skip("tokenizer_processor.json has no recorded stops")
    for case in cases:
        found = stops_after(StopStrings(case["stop_strings"]), case["pieces"])
        assert found == case["stop_after_prefix"], case


@pytest.fixture(scope="module")
def full_tokenizer() -> OmniTokenizer:
    assert FULL_TOKENIZER is not None
    return OmniTokenizer.from_folder(FULL_TOKENIZER)


@needs_full_tokenizer
def test_the_tokenizer_spells_as_recorded(full_tokenizer: OmniTokenizer) -> None:
    cases = recorded_stops()
    if not cases:
        pytest.skip("tokenizer_processor.json has no recorded stops")
    for case in cases:
        assert [full_tokenizer.piece(token) for token in case["ids"]] == case["pieces"]


@needs_full_tokenizer
@pytest.mark.parametrize(
    "expected",
    [
        ["It costs $3,000,", " or 2.50 a day."],
        ["Dr. Smith,", " e.g. the one in the U.S.,", " said:\n1. Wait!\n", "2. Go."],
        ["好的，", "我们走吧！", "他说：“真的吗？”", "数字３，０００不变。"],
        ["Really?!", " Yes...", " I think so (not sure).", " Bye."],
        ["这是Python 3.12，", "不是2.7。", "OK,", " 好的。"],
    ],
)
def test_our_rule_on_the_published_vocabulary(
    full_tokenizer: OmniTokenizer, expected: list[str]
) -> None:
    rule, stream = WordAwareStops(NEXT_TEXT_STOPS), full_tokenizer.stream()
    rule.begin("")
    groups: list[list[int]] = [[]]
    for token in full_tokenizer.encode("".join(expected)):
        piece = full_tokenizer.piece(token)
        if rule.before(piece):
            groups.append([])
            rule.begin("")
        groups[-1].append(token)
        if rule.after(piece, stream.push(token)):
            groups.append([])
            rule.begin("")
    assert [full_tokenizer.decode(group) for group in groups if group] == expected
