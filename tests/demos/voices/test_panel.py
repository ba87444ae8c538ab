"""The voice panel: what its controls make of the system prompt, and its handlers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile

from demos.base.languages import Words
from demos.base.owner import Owner
from demos.serve import ServeOptions
from demos.turns.sessions import Sessions
from demos.voices.actions import VoiceActions
from demos.voices.build import role_js
from demos.voices.catalog import ASSETS, Catalog, read_catalog
from demos.voices.library import SavedVoice, VoiceLibrary
from demos.voices.panel import VoiceChoice, VoicePanel, lay_out_voice_panel
from omni.conversation import DEFAULT_SYSTEM_TEXT, SystemPrompt, VoicePrompt
from omni.errors import MediaError
from omni.prompting.system_text import DEFAULT_VOICE, SystemChoices
from tests.support.fake_engine import FakeEngine
from tests.support.root import DATA

SPEECH = DATA / "speech.ogg"


def ask(language: str = "en", key: str = "browser") -> Any:
    return SimpleNamespace(session_hash=key, headers={"accept-language": language})


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    sessions = Sessions(tmp_path / "root")
    yield sessions
    sessions.close()


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.trained = True
    list(engine.load())
    return engine


@pytest.fixture
def actions(engine: FakeEngine, sessions: Sessions, tmp_path: Path) -> VoiceActions:
    return make(engine, sessions, VoiceLibrary(tmp_path / "voices"))


def make(
    engine: FakeEngine,
    sessions: Sessions,
    library: VoiceLibrary | None,
    catalog: Catalog | None = None,
) -> VoiceActions:
    words = Words()
    with gr.Blocks():
        panel = lay_out_voice_panel(words)
    catalog = catalog or read_catalog([ASSETS])
    return VoiceActions(panel, engine, sessions, words, catalog, library)  # type: ignore[arg-type]


@pytest.fixture
def sample(tmp_path: Path) -> str:
    path = tmp_path / "sample.wav"
    soundfile.write(path, np.zeros(64_000, np.float32), 16_000)
    return str(path)


def held(panel: VoicePanel, **values: Any) -> dict[Any, Any]:
    """What the panel's components hold: their first values, with some changed."""
    given = {getattr(panel, name): value for name, value in values.items()}
    return {component: getattr(component, "value", None) for component in panel.all} | given


def made(actions: VoiceActions, language: str = "en", **values: Any) -> dict[str, Any]:
    """What the panel's first values with some changed make of the system prompt."""
    panel = actions.panel
    return named(panel, actions.write_system_text(ask(language), held(panel, **values)))


def named(panel: VoicePanel, changes: dict[Any, Any]) -> dict[str, Any]:
    """Changes by the names of the components; updates as plain values where they have one."""
    names = {id(getattr(panel, name)): name for name in panel.__dataclass_fields__}
    return {names[id(component)]: value for component, value in changes.items()}


def test_an_untouched_panel_gives_the_published_default(actions: VoiceActions) -> None:
    panel = actions.panel
    prompt = panel.chosen(held(panel)).system_prompt()
    assert prompt == SystemPrompt(DEFAULT_SYSTEM_TEXT)
    assert made(actions)["system_text"]["value"] == DEFAULT_SYSTEM_TEXT


def test_the_text_that_is_seen_is_the_text_that_is_sent(actions: VoiceActions, sample: str) -> None:
    def prompt(**values: Any) -> SystemPrompt:
        return actions.panel.chosen(held(actions.panel, **values)).system_prompt()

    assert prompt(system_text=" Be brief. ") == SystemPrompt("Be brief.")
    assert prompt(system_text="") == SystemPrompt("")
    example = prompt(
        used_reference=sample, transcript=" Hi. ", reference_use="example", system_text=None
    )
    assert example == SystemPrompt("", VoicePrompt(Path(sample), "example", "Hi."))
    silent = prompt(used_reference=sample, transcript=" ", system_text="x")
    assert silent == SystemPrompt("x", VoicePrompt(Path(sample)))


def test_a_reference_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as raised:
        VoiceChoice("", tmp_path / "gone.wav").system_prompt()
    assert raised.value.code == "upload-gone"


def test_controls_become_choices(actions: VoiceActions) -> None:
    panel = actions.panel

    def choices(**values: Any) -> SystemChoices:
        return panel.system_choices(held(panel, **values), str.upper)

    assert choices(named_voice="", wish=None) == SystemChoices(voice=None)
    styles = {"emotion": "sad", "speed": "slow", "pitch": "", "loudness": "loud"}
    assert choices(role="x", named_voice="某人", **styles, wish="Hm.") == SystemChoices(
        "某人", "X", "sad", ("slow", "loud"), "Hm."
    )
    assert choices(named_voice="某人", used_reference="sample.wav").voice is None


def test_controls_write_the_text_in_the_persons_language(actions: VoiceActions) -> None:
    chosen: dict[str, Any] = {
        "named_voice": "",
        "role": "pirate",
        "speed": "slow",
        "emotion": "happy",
    }
    english = made(actions, "en", **chosen)["system_text"]
    chinese = made(actions, "zh", **chosen)["system_text"]
    assert english["value"] == "You are a pirate. Speak in a happy tone. Speak slowly."
    assert chinese["value"] == "你是一个海盗。请用开心的语气说话。请说慢一点。"
    assert not english["interactive"]


def test_nano_is_asked_as_it_has_learnt_it_and_others_as_people_ask(
    engine: FakeEngine, actions: VoiceActions
) -> None:
    chosen: dict[str, Any] = {"named_voice": "", "pitch": "low", "loudness": "soft"}
    learnt = made(actions, "zh", **chosen)["system_text"]["value"]
    assert learnt == "请说低一点。请说轻一点。"
    assert engine.report
    engine.report = replace(engine.report, checkpoint="baichuan-inc/Baichuan-Omni-1d5")
    natural = made(actions, "zh", **chosen)["system_text"]["value"]
    assert natural == "请用低一点的音调说。请小声一点。"


def test_by_hand_the_controls_leave_the_text_alone(actions: VoiceActions) -> None:
    by_hand = made(actions, by_hand=True, speed="slow")["system_text"]
    assert by_hand["interactive"]
    assert "value" not in by_hand
    assert made(actions, by_hand=False, speed="slow")["system_text"]["value"].endswith(
        "Speak slowly."
    )


def test_a_reference_takes_the_named_voices_place_and_the_panel_says_what_follows(
    actions: VoiceActions, sample: str
) -> None:
    with_it = made(actions, used_reference=sample)
    assert with_it["system_text"]["value"] == ""
    assert not with_it["named_voice"]["interactive"]
    assert "Answer in the voice of this recording." in with_it["system_note"]
    missing = made(actions, used_reference=sample, reference_use="example", transcript=" ")
    assert 'role="alert"' in missing["system_note"]
    long = "<b>" + "word " * 50
    full = made(actions, used_reference=sample, reference_use="example", transcript=long)
    assert "&lt;b&gt;word" in full["system_note"]
    assert "…" in full["system_note"]
    assert made(actions)["system_note"] == ""
    assert made(actions)["named_voice"]["interactive"]


def test_a_good_reference_is_trimmed_and_kept_in_the_session(
    actions: VoiceActions, sessions: Sessions
) -> None:
    changes = named(actions.panel, actions.check_reference(ask(), str(SPEECH), 1))
    path = Path(changes["checked_file"])
    used = actions.use_reference(ask(), str(path))
    assert named(actions.panel, used) == {"used_reference": str(path)}
    assert sessions.get("browser").folder in path.parents
    assert soundfile.info(path).duration < soundfile.info(SPEECH).duration - 1
    assert "Ready:" in changes["checked_note"]
    assert actions.panel.chosen(held(actions.panel, **named(actions.panel, used))).reference == path


def test_a_bad_reference_is_not_used_and_says_why(actions: VoiceActions, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    samples, rate = soundfile.read(SPEECH)
    soundfile.write(path, samples[rate : 3 * rate], rate)
    for language, sentence in (("en", "a voice needs 3 s"), ("zh", "声音样本需要 3 秒")):
        changes = named(actions.panel, actions.check_reference(ask(language), str(path), 1))
        assert changes["checked_file"] is None
        assert sentence in changes["checked_note"]
        assert 'role="alert"' in changes["checked_note"]


def test_what_was_found_has_the_number_by_which_the_page_knows_whether_it_is_wanted(
    actions: VoiceActions, sample: str
) -> None:
    for number, upload in ((3, sample), (4, None)):
        found = named(actions.panel, actions.check_reference(ask(), upload, number))
        assert set(found) == {"checked_file", "checked_number", "checked_note"}
        assert found["checked_number"] == number


def test_just_what_was_checked_in_this_session_is_used(
    actions: VoiceActions, sessions: Sessions, sample: str
) -> None:
    checked = named(actions.panel, actions.check_reference(ask(), str(SPEECH), 1))["checked_file"]
    for key, shown, used in (
        ("browser", checked, checked),
        ("browser", None, None),
        ("browser", sample, None),  # uploaded, and not checked yet
        ("stranger", checked, None),
    ):
        assert named(actions.panel, actions.use_reference(ask(key=key), shown)) == {
            "used_reference": used
        }


def test_a_role_brings_its_style_at_once(actions: VoiceActions) -> None:
    panel = actions.panel
    code = role_js(panel, actions.catalog)
    table = json.loads(code.js[code.js.index('({"') + 1 : code.js.index(")[choice]")])
    names = {id(getattr(panel, name)): name for name in panel.__dataclass_fields__}

    def brought(role: str) -> dict[str, Any]:
        return {names[id(code.outputs[int(index)])]: value for index, value in table[role].items()}

    assert brought("storyteller") == {
        "emotion": "gentle",
        "speed": "slow",
        "pitch": "",
        "loudness": "soft",
    }
    assert brought("") == dict.fromkeys(("emotion", "speed", "pitch", "loudness"), "")
    assert set(table) == {"", *actions.catalog.roles}
    assert named(panel, actions.choose_role(ask(), "storyteller")) == {"reference_note": gr.skip()}


def test_a_role_may_bring_a_voice(
    engine: FakeEngine, sessions: Sessions, tmp_path: Path, sample: str
) -> None:
    (tmp_path / "roles.yaml").write_text(
        "roles: [{id: a, label: A, text: A., voice: 某人}, {id: b, label: B, text: B., "
        "recording: Anna}]",
        encoding="utf-8",
    )
    library = VoiceLibrary(tmp_path / "voices")
    actions = make(engine, sessions, library, read_catalog([tmp_path]))
    code = role_js(actions.panel, actions.catalog)
    assert f'"{code.outputs.index(actions.panel.named_voice)}": "\\u67d0\\u4eba"' in code.js
    assert named(actions.panel, actions.choose_role(ask(), "a")) == {"reference_note": gr.skip()}
    gone = named(actions.panel, actions.choose_role(ask(), "b"))
    assert "There is no voice Anna any more." in gone["reference_note"]
    library.save(SavedVoice("Anna", "Hi."), Path(sample))
    changes = named(actions.panel, actions.choose_role(ask(), "b"))
    assert changes["transcript"] == "Hi."


def test_a_saved_voice_comes_back_as_it_was(actions: VoiceActions, sample: str) -> None:
    saved = named(actions.panel, actions.save(ask(), "Anna", sample, "Hello.", "example", ""))
    assert saved["saved_voice"]["value"] == "Anna"
    assert saved["saved_voice"]["choices"][1:] == [("Anna", "Anna")]
    chosen = named(actions.panel, actions.choose_saved(ask(key="another page"), "Anna"))
    assert (chosen["transcript"], chosen["reference_use"], chosen["voice_name"]) == (
        "Hello.",
        "example",
        "Anna",
    )
    assert Path(chosen["reference"]).read_bytes() == Path(sample).read_bytes()
    none = named(actions.panel, actions.choose_saved(ask(), ""))
    assert none["reference"] is None
    assert none["transcript"] == ""


def test_the_library_says_what_it_did_and_what_it_cannot(
    actions: VoiceActions, sample: str
) -> None:
    panel = actions.panel

    def told(changes: dict[Any, Any]) -> str:
        return named(panel, changes)["library_note"]

    assert "no recording" in told(actions.save(ask(), "Anna", None, "", "system", ""))
    assert "needs a name" in told(actions.save(ask(), " ", sample, "", "system", ""))
    assert "Saved as Anna" in told(actions.save(ask(), "Anna", sample, "", "system", ""))
    assert "already" in told(actions.save(ask(), "anna", sample, "", "system", ""))
    assert "Saved as Anna" in told(actions.save(ask(), "Anna", sample, "x", "system", "Anna"))
    assert "Choose one" in told(actions.rename(ask(), "", "Bert"))
    assert "now called Bert" in told(actions.rename(ask(), "Anna", "Bert"))
    assert "Choose one" in told(actions.delete(ask(), ""))
    deleted = named(panel, actions.delete(ask(), "Bert"))
    assert "Bert was deleted" in deleted["library_note"]
    assert "used_reference" not in deleted  # the reference stays, so that Save brings it back
    assert "no voice Bert" in told(actions.delete(ask(), "Bert"))
    assert "no saved voices" in told(actions.export(ask()))


def test_export_and_import(
    actions: VoiceActions, sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demos.voices.archive.check_again", lambda samples: None)  # tones here
    actions.save(ask(), "<b>Anna", sample, "", "system", "")
    file = named(actions.panel, actions.export(ask()))["export_file"]
    changes = named(actions.panel, actions.import_file(ask(), file, ""))
    assert "already" in changes["library_note"]
    actions.save(ask(), "<b>Anna", sample, "", "example", "<b>Anna")
    changes = named(actions.panel, actions.import_file(ask(), file, ""))
    assert "Added: &lt;b&gt;Anna (2)." in changes["library_note"]
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"x")
    assert (
        'role="alert"'
        in named(actions.panel, actions.import_file(ask(), str(bad), ""))["library_note"]
    )


def test_strangers_have_voices_of_their_own_that_go_with_them(
    engine: FakeEngine, sessions: Sessions, sample: str
) -> None:
    actions = make(engine, sessions, None)
    actions.save(ask(key="one"), "Anna", sample, "", "system", "")
    assert named(actions.panel, actions.render(ask(key="one")))["saved_voice"]["choices"][1:] == [
        ("Anna", "Anna")
    ]
    other = named(actions.panel, actions.render(ask(key="two")))
    assert other["saved_voice"]["choices"][1:] == []
    assert "Others can reach this page" in other["library_note"]
    folder = sessions.get("one").folder
    assert list(folder.rglob("voice.json"))
    sessions.get("one").remove()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "private"),
    [
        (ServeOptions(), True),
        (ServeOptions("localhost"), True),
        (ServeOptions("::1"), True),
        (ServeOptions("127.0.0.2"), True),
        (ServeOptions("0.0.0.0"), False),
        (ServeOptions("192.168.1.5"), False),
        (ServeOptions("my-machine"), False),
        (ServeOptions(share=True), False),
        (ServeOptions(auth=(("me", "secret"),)), False),
        (ServeOptions(allow_hosts=("omni.example",)), False),
    ],
)
def test_the_owners_voices_are_for_the_owner_alone(options: ServeOptions, private: bool) -> None:
    assert options.private == private


def test_a_space_is_never_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/space")
    assert not ServeOptions().private


def test_an_opened_page_speaks_the_persons_language(actions: VoiceActions) -> None:
    page = named(actions.panel, actions.render(ask("zh")))
    assert ("海盗", "pirate") in page["role"]["choices"]
    assert page["named_voice"]["choices"][0] == ("邻家女声 ✓", DEFAULT_VOICE)
    assert page["problems"] == ""


def test_wrong_entries_are_told_to_the_owner_and_not_to_strangers(
    engine: FakeEngine, sessions: Sessions, tmp_path: Path
) -> None:
    (tmp_path / "roles.yaml").write_text("roles: [{id: x}]")
    catalog = read_catalog([ASSETS, tmp_path])
    for library, told in ((VoiceLibrary(tmp_path / "voices"), True), (None, False)):
        actions = make(engine, sessions, library, catalog)
        page = named(actions.panel, actions.render(ask()))
        assert (str(tmp_path / "roles.yaml") in page["problems"]) == told


def test_the_model_writes_the_transcript(actions: VoiceActions, sample: str) -> None:
    steps = [named(actions.panel, step) for step in actions.transcribe(ask(), sample)]
    assert steps[-1]["transcript"] == "This is sample.wav"
    assert "correct it" in steps[-1]["reference_note"]


def test_an_untrained_model_does_not_pretend_to_hear(
    actions: VoiceActions, engine: FakeEngine, sample: str
) -> None:
    engine.trained = False
    list(engine.load())
    steps = [named(actions.panel, step) for step in actions.transcribe(ask(), sample)]
    assert len(steps) == 1
    assert "untrained" in steps[0]["reference_note"]


def test_trouble_while_transcribing_is_told(
    actions: VoiceActions, engine: FakeEngine, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **more: Any) -> Iterator[Any]:
        raise MediaError("audio-silent", "I could not hear anything in {name}.", name="x")
        yield

    monkeypatch.setattr(engine, "transcribe", broken)
    steps = [named(actions.panel, step) for step in actions.transcribe(ask(), sample)]
    assert "could not hear" in steps[-1]["reference_note"]
    (nothing,) = actions.transcribe(ask(), None)
    assert "no recording" in named(actions.panel, nothing)["reference_note"]


def test_reset_brings_the_first_values_back(actions: VoiceActions) -> None:
    panel = actions.panel
    first = named(panel, panel.first_values)
    for name in (
        *("role", "emotion", "speed", "transcript"),
        *("reference_use", "named_voice", "by_hand", "reference"),
    ):
        assert first[name] == (getattr(panel, name).value or first[name]), name
        assert not first[name] or name in ("reference_use", "named_voice")


def test_every_component_that_a_person_uses_has_a_name_for_screen_readers(
    actions: VoiceActions,
) -> None:
    everything = [part for part in actions.panel.all if part.visible != "hidden"]
    seen = [part for part in everything if "bridge" not in (part.elem_classes or ())]
    for component in seen:
        if isinstance(component, gr.UploadButton | gr.DownloadButton):
            assert component.label
        elif isinstance(component, gr.Button):
            assert component.value
        elif not isinstance(component, gr.State | gr.HTML):
            assert component.label, component


def test_kept_voices_are_there_for_all_who_reach_the_page(
    engine: FakeEngine, sessions: Sessions, tmp_path: Path
) -> None:
    library = VoiceLibrary(tmp_path / "voices")
    for shares in (True, False):
        actions = make(engine, sessions, library, read_catalog([]))
        actions = replace(actions, owner=Owner(private=False, shares_voices=shares))
        assert (actions._library_of(ask()) is library) == shares
