"""Every sentence of the UI, in the language that a person reads.

Knows: the files of words, which language a browser asks for. Does not know: where words are shown.
Static words follow the browser by themselves (Gradio's I18n) unless --lang fixes the language;
messages are made on the server in the language that the browser's request asks for. The switch of
the page (assets/scripts/header.js) tells both: it turns Gradio's words, and leaves a cookie for us.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

from demos.base import gradio_internals
from demos.base.word_files import ENGLISH, PageLanguage, PromptLanguage, WordFile, read_words
from omni.errors import OmniError

AUTO = "auto"  # the browser's language
_CHOSEN = re.compile(r"(?:^|;\s*)omni_language=([\w-]+)\s*(?:;|$)")  # the cookie of the switch
# An absolute path, and one in a sentence (no address of the web, nothing that a person wrote "/a").
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?[/\\][^/\\]+[/\\]|~[/\\]")
_PATH = re.compile(r"(?<![\w:/\\.])(?:[A-Za-z]:|~)?(?:[/\\][^\s/\\:,;\"'()（）：，。]+){2,}[/\\]?")


class Words:
    """Every sentence of the UI by its key, in the language that is asked for.

    ``choice``: a language of ``folder`` for everybody, or AUTO. ``folder``: of the files of words,
    None: assets/words.
    """

    def __init__(self, choice: PageLanguage = AUTO, folder: Path | None = None) -> None:
        self.choice = choice
        self.names_alone = False  # see for_others
        self.files = read_words(folder)
        if choice != AUTO and choice not in self.files:
            raise ValueError(f"there are no words in {choice}")

    @property
    def languages(self) -> tuple[PageLanguage, ...]:
        """All languages of the page, in the order of the switch."""
        return tuple(self.files)

    def static(self, key: str) -> str | I18nData:
        """A label that does not change: translated in the browser, or fixed by --lang."""
        if self.choice == AUTO:
            return I18nData(self._key(key))
        return self._sentence(self.choice, key)

    def say(self, language: PageLanguage, key: str, **values: object) -> str:
        """A sentence made on the server."""
        return self._sentence(language, key).format(**values)

    def prompt(self, language: PageLanguage, key: str, **values: object) -> str:
        """What the task ``key`` says to the model on a page in ``language``."""
        prompts = self._file(language).prompts
        if key not in prompts:
            prompts = self._file(self.prompt_language(language)).prompts
        return prompts[key].format(**values)

    def error(self, language: PageLanguage, error: OmniError) -> str:
        """The sentence of an error; its own, which is English, where nobody has translated it."""
        errors = {} if language == ENGLISH else self._file(language).errors
        sentence = errors.get(error.code)
        given = {
            name: self.error(language, value) if isinstance(value, OmniError) else value
            for name, value in error.params.items()
        }
        said = str(error) if sentence is None else sentence.format(**given)
        return without_paths(said, error.params.values()) if self.names_alone else said

    def for_others(self) -> Words:
        """The same words for a page that others reach: errors name files, but no folders."""
        theirs = copy(self)
        theirs.names_alone = True
        return theirs

    def prompt_language(self, language: PageLanguage) -> PromptLanguage:
        """In which language the model is spoken to by a page in ``language``."""
        return self._file(language).prompt_language

    def of(self, request: gr.Request | None) -> PageLanguage:
        """The language of the person behind a request."""
        if self.choice != AUTO:
            return self.choice
        if request is None:
            return ENGLISH
        found = _CHOSEN.search(_header(request, "cookie"))
        if found and found[1] in self.files:
            return found[1]
        return self.preferred(_header(request, "accept-language"))

    def preferred(self, accept_language: str) -> PageLanguage:
        """The first of our languages that an Accept-Language header names; English without one."""
        names = {
            name.lower(): language
            for language, file in self.files.items()
            for name in (*file.aliases, file.locale, language)
        }
        for tag in _wishes(accept_language):
            for name in (tag, tag.split("-")[0]):
                if name in names:
                    return names[name]
        return ENGLISH

    def i18n(self) -> gr.I18n:
        """All static words, for ``launch``."""
        tables: dict[str, dict[str, str]] = {}
        keys = self.files[ENGLISH].ui
        for language, file in self.files.items():
            words = {self._key(key): self._sentence(language, key) for key in keys}
            words[gradio_internals.MISSING_WORD] = self._sentence(language, "camera")
            tables |= dict.fromkeys((language, file.locale, *file.aliases), words)
        return gr.I18n(**tables)

    def locales(self) -> dict[PageLanguage, str]:
        """What the browser calls each language."""
        return {language: file.locale for language, file in self.files.items()}

    def _file(self, language: PageLanguage) -> WordFile:
        return self.files.get(language, self.files[ENGLISH])

    def _sentence(self, language: PageLanguage, key: str) -> str:
        return self._file(language).ui.get(key) or self.files[ENGLISH].ui[key]

    @staticmethod
    def _key(key: str) -> str:
        return f"omni.{key}"


def without_paths(said: str, values: Iterable[object] = ()) -> str:
    """A sentence in which every path of this machine is the name of its file alone.

    Args:
        values: what was put into the sentence: those that are paths may hold spaces.
    """
    for value in sorted(map(str, values), key=len, reverse=True):
        if _FOLDERS.match(value) and "\n" not in value:
            said = said.replace(value, re.split(r"[/\\]", value.rstrip("/\\"))[-1])
    return _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], said)


def _wishes(accept_language: str) -> Iterable[str]:
    """The languages of the header in lower case, the dearest first."""
    wishes = []
    for position, item in enumerate(accept_language.split(",")):
        tag, _, weight = item.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        wishes.append((-quality, position, tag.lower()))
    return [tag for _, _, tag in sorted(wishes)]


def _header(request: gr.Request, name: str) -> str:
    headers: Any = getattr(request, "headers", None) or {}
    return headers.get(name, "") or ""
