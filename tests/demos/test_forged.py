"""What no page sends and no script should: an answer with a sentence, and nothing in the log."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from demos import serve
from demos.base.languages import Words
from demos.base.owner import Owner
from demos.build import build
from demos.turns.sessions import Sessions
from tests.support.fake_engine import FakeEngine

ODD: tuple[Any, ...] = (None, 5, "\ud800", [[]], {"path": "/etc/passwd"})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the owner's page."""
    yield from served(tmp_path_factory, Owner())


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a page that others reach."""
    yield from served(tmp_path_factory, Owner(private=False))


def served(factory: pytest.TempPathFactory, owner: Owner) -> Iterator[httpx.Client]:
    """A client of a page that is served without a login."""
    sessions = Sessions(factory.mktemp("forged") / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        patch.delenv("SPACE_ID", raising=False)
        words = Words()
        page = build(FakeEngine(), sessions, words, owner=owner)  # type: ignore[arg-type]
        options = serve.ServeOptions(port=serve.free_port(serve.LOOPBACK, None))
        with httpx.Client(base_url=serve.serve(page, words, options), timeout=60) as browser:
            yield browser
        page.close()
        sessions.close()


@pytest.fixture
def log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[pytest.LogCaptureFixture]:
    """The log, which holds no fault in the end."""
    with caplog.at_level(logging.WARNING):
        yield caplog
    seen = capfd.readouterr()
    faults = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not faults
    assert "Traceback" not in seen.err + seen.out


def answer(client: httpx.Client, number: int, data: list[Any], event: Any = None) -> Any:
    """How an event ends: what is said of its failure, or None where it did not fail."""
    return answers(client, [(number, data, event)])[0]


def answers(client: httpx.Client, asked: list[tuple[int, list[Any], Any]]) -> list[Any]:
    """How events of one session end, see :func:`answer`."""
    session = secrets.token_hex(6)
    head = {"content-type": "application/json"}
    ended: dict[str, Any] = {}
    for position, (number, data, event) in enumerate(asked):
        body = {"fn_index": number, "data": data, "session_hash": session, "event_data": event}
        joined = client.post("/gradio_api/queue/join", content=json.dumps(body), headers=head)
        if joined.status_code != 200:
            ended[str(position)] = joined.text
        else:
            ended[joined.json()["event_id"]] = open
    waiting = sum(value is open for value in ended.values())
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines() if waiting else ():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_completed":
                failed = not message["success"]
                ended[message["event_id"]] = message["output"]["error"] if failed else None
                waiting -= 1
            if not waiting:
                break
    return list(ended.values())


def endpoint(client: httpx.Client, name: str) -> tuple[int, list[Any], list[str]]:
    """Number, default values and names of the parameters of an endpoint."""
    config = client.get("/config").json()
    event = next(one for one in config["dependencies"] if one["api_name"] == name)
    shown = {one["id"]: one for one in config["components"]}
    inputs = [shown[number] for number in event["inputs"]]
    values = [one["props"].get("value") for one in inputs]
    return event["id"], values, [str(one["props"].get("label")) for one in inputs]


WRONG = [
    *(
        ("chat", name, value)
        for name in ("text", "system", "voice_text")
        for value in (None, 5, [])
    ),
    *(("chat", name, "x.wav") for name in ("audio", "images", "video", "voice")),
    ("chat", "images", [5]),
    ("chat", "speech", None),
    ("chat", "speech", "yes"),
    ("chat", "language", None),
    ("chat", "language", "xx"),
    ("chat", "seed", "five"),
    ("chat", "seed", [1]),
    ("transcribe", "audio", {"path": 5}),
    ("read_aloud", "text", None),
    ("read_aloud", "voice", True),
    ("load_model", "model", {"a": 1}),
    ("load_model", "quantization", "3bit"),
    ("load_model", "device", None),
]


@pytest.mark.parametrize(("name", "parameter", "value"), WRONG)
def test_a_wrong_value_is_told_by_the_name_of_its_parameter(
    client: httpx.Client, log: pytest.LogCaptureFixture, name: str, parameter: str, value: Any
) -> None:
    number, data, names = endpoint(client, name)
    data[names.index(parameter)] = value
    assert answer(client, number, data).startswith(f"{parameter} must be ")


def test_no_request_of_others_changes_the_model(
    visitor: httpx.Client, log: pytest.LogCaptureFixture
) -> None:
    fixed = Words().say("en", "model-fixed")
    number, data, _ = endpoint(visitor, "load_model")
    assert answer(visitor, number, ["/etc/passwd", *data[1:]]) == fixed
    assert answer(visitor, endpoint(visitor, "unload_model")[0], []) == fixed
    for name in ("load_model", "unload_model", "use_adapter"):
        said = visitor.post(f"/gradio_api/run/{name}", json={"data": ["/etc/passwd", "", ""]})
        assert said.json()["error"] == fixed


def test_behind_a_proxy_nobody_is_the_owner(client: httpx.Client) -> None:
    asked, through = {"data": []}, {"x-forwarded-for": "192.0.2.1"}
    said = client.post("/gradio_api/run/unload_model", json=asked, headers=through)
    assert said.json()["error"] == Words().say("en", "model-fixed")
    assert client.post("/gradio_api/run/unload_model", json=asked).status_code == 200


def test_too_few_values(client: httpx.Client, log: pytest.LogCaptureFixture) -> None:
    number, data, _ = endpoint(client, "bar_load")
    assert answer(client, number, data[:1]).endswith("is missing.")


def test_a_script_of_an_earlier_version_gives_fewer_values(
    client: httpx.Client, log: pytest.LogCaptureFixture
) -> None:
    said = client.post("/gradio_api/run/read_aloud", json={"data": ["three short words"]})
    assert said.status_code == 200
    assert said.json()["data"][1]["speech_s"] > 0


def test_half_a_character(client: httpx.Client, log: pytest.LogCaptureFixture) -> None:
    number, data, _ = endpoint(client, "read_aloud")
    assert answer(client, number, ["a \ud800 b", *data[1:]]) is None


def test_events_that_do_not_exist(client: httpx.Client, log: pytest.LogCaptureFixture) -> None:
    for number in (10**6, -1):
        assert answer(client, number, [])
    post = client.post
    for path in ("run/nothing", "call/nothing"):
        assert post(f"/gradio_api/{path}", json={"data": []}).status_code >= 400
    half = '{"fn_index": 0, "data": [], "session_hash": "\\ud800"}'
    assert post("/gradio_api/queue/join", content=half).status_code >= 400


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(1, id="an odd value each"),
        pytest.param(len(ODD), id="every odd value", marks=pytest.mark.slow),
    ],
)
def test_every_event_of_the_page_answers_whatever_it_gets(
    client: httpx.Client, log: pytest.LogCaptureFixture, rounds: int
) -> None:
    unexpected = Words().say("en", "unexpected")
    events = [one for one in client.get("/config").json()["dependencies"] if one["backend_fn"]]
    wrong = []
    for turn in range(rounds):
        odd = [ODD[(place + turn) % len(ODD)] for place in range(len(events))]
        asked = [
            (one["id"], [value] * len(one["inputs"]), {"index": value})
            for one, value in zip(events, odd, strict=True)
        ]
        for event, value, said in zip(events, odd, answers(client, asked), strict=True):
            if said in ("", unexpected):
                wrong.append((event["api_name"], value))
    assert not wrong
