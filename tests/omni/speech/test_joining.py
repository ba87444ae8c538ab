"""Cross-fades: whole pieces, and the same in chunks."""

from __future__ import annotations

import numpy as np
import pytest

from omni.speech.joining import Join, Joiner, Samples, join, pcm16, silence

FADE = 240  # samples
RATE = 24_000  # Hz


def tone(samples: int, pitch: float = 200.0, phase: float = 0.0) -> Samples:
    return np.sin(2 * np.pi * pitch * np.arange(samples) / RATE + phase).astype(np.float32)


def steps(sound: Samples) -> float:
    return float(np.abs(np.diff(sound)).max())


def chunked(pieces: list[Samples], how: Join, sizes: tuple[int, ...]) -> Samples:
    joiner, out = Joiner(FADE, how), []
    for piece in pieces:
        edges = np.cumsum(sizes)
        parts = np.split(piece, edges[edges < len(piece)])
        out += [joiner.push(part) for part in parts[:-1]]
        out.append(joiner.end_piece(parts[-1]))
    return np.concatenate([*out, joiner.finish()])


def test_overlapping_inserts_nothing() -> None:
    first, second = tone(1000), tone(700, 310)
    joined = join(first, second, FADE)
    assert len(joined) == 1000 + 700 - FADE
    np.testing.assert_array_equal(joined[: 1000 - FADE], first[: 1000 - FADE])
    np.testing.assert_array_equal(joined[1000:], second[FADE:])


def test_overlapping_one_sound_with_itself_changes_nothing() -> None:
    whole = tone(2000)
    joined = join(whole[: 900 + FADE], whole[900:], FADE)
    np.testing.assert_allclose(joined, whole, atol=1e-6)


def test_inserting_keeps_both_pieces_whole() -> None:
    first, second = tone(1000), tone(700, 310)
    joined = join(first, second, FADE, "insert")
    assert len(joined) == 1000 + 700 + FADE
    np.testing.assert_array_equal(joined[:1000], first)
    np.testing.assert_array_equal(joined[1000 + FADE :], second)
    assert joined[1000] == first[-FADE]
    assert joined[1000 + FADE - 1] == second[FADE - 1]


def test_a_join_has_no_click() -> None:
    up, down = tone(1000, phase=0.0), tone(1000, phase=np.pi)
    up[-1] = up[-2]
    assert steps(np.concatenate([tone(1015), -tone(1015)[15:]])) > 1
    assert steps(join(up, down, FADE)) < 1.5 * steps(tone(1000))


@pytest.mark.parametrize("how", ["overlap", "insert"])
@pytest.mark.parametrize("sizes", [(), (1, 1, 100), (239, 1, 2), (241,), (900, 80), (999,)])
def test_chunks_do_not_matter(how: Join, sizes: tuple[int, ...]) -> None:
    pieces = [tone(1000), tone(700, 310), tone(250, 120), tone(2000, 90)]
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = join(whole, piece, FADE, how)
    np.testing.assert_array_equal(chunked(pieces, how, sizes), whole)


def test_pieces_shorter_than_the_fade_shorten_it() -> None:
    out = chunked([tone(1000), tone(100), tone(1000)], "overlap", (30,))
    assert len(out) == 1000 + 100 - 100 + 1000 - FADE


@pytest.mark.parametrize("how", ["overlap", "insert"])
def test_empty_pieces_leave_no_trace(how: Join) -> None:
    pieces = [tone(1000), tone(500)]
    empty = silence()
    want = chunked(pieces, how, ())
    got = chunked([empty, pieces[0], empty, empty, pieces[1], empty], how, ())
    np.testing.assert_array_equal(got, want)


def test_no_more_than_a_fade_is_held_back() -> None:
    joiner = Joiner(FADE)
    assert len(joiner.push(tone(1000))) == 1000 - FADE
    assert len(joiner.push(tone(500))) == 500
    assert len(joiner.end_piece(tone(10))) == 10
    assert len(joiner.finish()) == FADE


def test_no_fade_is_plain_concatenation() -> None:
    joiner = Joiner(0)
    out = [joiner.end_piece(tone(10)), joiner.end_piece(tone(20)), joiner.finish()]
    np.testing.assert_array_equal(np.concatenate(out), np.concatenate([tone(10), tone(20)]))


def test_pcm16_never_wraps() -> None:
    samples = pcm16(np.array([-2, -0.99, -0.5, 0, 1e-5, 0.5, 1, 2], np.float32))
    assert samples.dtype == np.int16
    assert samples.tolist() == [-32440, -32440, -16384, 0, 0, 16384, 32440, 32440]
