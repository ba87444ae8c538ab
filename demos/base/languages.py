"""The words of the UI in English and Chinese.

Knows: the tables words.yaml, which language a person reads. Does not know: where words are shown.
Static words follow the browser by themselves (Gradio's I18n) unless --lang fixes the language;
messages are made on the server in the language that the browser's request asks for. The switch
of the page (assets/header.js) tells both: it turns Gradio's words, and leaves a cookie for us.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import gradio as gr
import yaml
from gradio.i18n import I18nData

from demos.base import gradio_internals
from omni.conversation import Language
from omni.errors import OmniError

Choice: TypeAlias = Literal["auto", "en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
_CHOSEN = re.compile(r"(?:^|;\s*)omni_language=(en|zh)\s*(?:;|$)")  # the cookie of the switch
_MISSING_IN_GRADIO = gradio_internals.MISSING_WORD
_FOLDER = Path(__file__).parent.parent
_TABLES = (_FOLDER / "words.yaml", _FOLDER / "live" / "words.yaml")
# Safe as well; the C parser, where PyYAML has it, needs a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Words:
    """Every sentence of the UI by its key, in the language that is asked for."""

    def __init__(self, choice: Choice = "auto") -> None:
        self.choice = choice
        self.ui: dict[str, dict[Language, str]] = {}
        self.errors: dict[str, dict[Language, str]] = {}
        for file in _TABLES:
            table = yaml.load(file.read_text(encoding="utf-8"), _LOADER)
            self.ui |= table["ui"]
            self.errors |= table["errors"]

    def static(self, key: str) -> str | I18nData:
        """A label that does not change: translated in the browser, or fixed by --lang."""
        if self.choice == "auto":
            return I18nData(self._key(key))
        return self.ui[key][self.choice]

    def say(self, language: Language, key: str, **values: object) -> str:
        """A sentence made on the server."""
        return self.ui[key][language].format(**values)

    def error(self, language: Language, error: OmniError) -> str:
        """The sentence of an error; English where nobody has translated it yet."""
        sentence = self.errors.get(error.code, {}).get(language)
        return str(error) if sentence is None else sentence.format(**error.params)

    def of(self, request: gr.Request | None) -> Language:
        """The language of the person behind a request."""
        if self.choice != "auto":
            return self.choice
        if request is None:
            return "en"
        if found := _CHOSEN.search(_header(request, "cookie")):
            return "zh" if found[1] == "zh" else "en"
        return preferred(_header(request, "accept-language"))

    def i18n(self) -> gr.I18n:
        """All static words, for ``launch``."""
        tables = {
            language: {self._key(key): words[language] for key, words in self.ui.items()}
            | {_MISSING_IN_GRADIO: self.ui["camera"][language]}
            for language in LANGUAGES
        }
        regions = {"zh-CN": tables["zh"], "zh-TW": tables["zh"]}
        return gr.I18n(**tables, **regions)

    @staticmethod
    def _key(key: str) -> str:
        return f"omni.{key}"


def preferred(accept_language: str) -> Language:
    """The first of our languages that an Accept-Language header names; English without one."""
    wishes = []
    for position, item in enumerate(accept_language.split(",")):
        tag, _, weight = item.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        wishes.append((-quality, position, tag.lower().split("-")[0]))
    for _, _, name in sorted(wishes):
        if name in LANGUAGES:
            return name
    return "en"


def _header(request: gr.Request, name: str) -> str:
    headers: Any = getattr(request, "headers", None) or {}
    return headers.get(name, "") or ""
