"""The files of words: one for each language of the page, found by listing.

Knows: the form of assets/words/<language>.yaml, which its English file explains.
Does not know: Gradio, where words are shown, who reads which language.

Three languages are kept apart. The page's is any for which there is a file. The prompt's is one in
which the model's own sentences are written (omni.conversation.PromptLanguage). The answer's is the
model's choice, and the person's who asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias, TypeVar

import yaml

from omni.conversation import PROMPT_LANGUAGES, PromptLanguage
from omni.shipped import ASSETS

PageLanguage: TypeAlias = str  # the name of a file of words: en, zh, pt-BR
ENGLISH = "en"  # what is missing in another language is said in this one
FOLDER = ASSETS / "words"
# Safe as well; the C parser, where PyYAML has it, needs a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

T = TypeVar("T")


@dataclass(frozen=True)
class WordFile:
    """All sentences of one language.

    Raises:
        ValueError: the model has no prompts in ``prompt_language``.
    """

    name: str  # the language's name for itself
    label: str  # on the switch in the page's head
    locale: str  # what the browser, and Gradio for its own words, call it
    prompt_language: PromptLanguage
    aliases: tuple[str, ...]  # other names under which a browser may ask for it
    ui: Mapping[str, str]  # labels and sentences
    prompts: Mapping[str, str]  # what a task says to the model; may be empty
    errors: Mapping[str, str]  # by OmniError.code

    def __post_init__(self) -> None:
        if self.prompt_language not in PROMPT_LANGUAGES:
            known = " or ".join(PROMPT_LANGUAGES)
            raise ValueError(f"prompt_language must be {known}, not {self.prompt_language}")


def page_languages(folder: Path | None = None) -> tuple[PageLanguage, ...]:
    """The languages that have a file in ``folder`` (None: assets/words), English first."""
    names = sorted(file.stem for file in (folder or FOLDER).glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: name != ENGLISH))


def read_words(folder: Path | None = None) -> dict[PageLanguage, WordFile]:
    """Every file of words in ``folder`` (None: assets/words), in the order of the switch.

    Raises:
        ValueError: a file has an unknown key, lacks its name, or says a language without prompts.
    """
    folder = folder or FOLDER
    return {language: _read(folder / f"{language}.yaml") for language in page_languages(folder)}


def _read(file: Path) -> WordFile:
    table = yaml.load(file.read_text(encoding="utf-8"), _LOADER)
    defaults = {
        "label": file.stem.upper(),
        "locale": file.stem,
        "prompt_language": ENGLISH,
        "aliases": (),
        **{key: {} for key in ("ui", "prompts", "errors")},
    }
    known = {field.name for field in fields(WordFile)}
    if not isinstance(table, dict) or not {"name"} <= set(table) <= known:
        raise ValueError(f"{file}: the keys {', '.join(sorted(known))} are expected, name at least")
    given = {key: value for key, value in table.items() if value is not None}
    try:
        return WordFile(**defaults | given)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def in_language(texts: Mapping[str, T], language: str) -> T:
    """What a table of texts has in ``language``; else in English, else in any language."""
    return texts.get(language) or texts.get(ENGLISH) or next(iter(texts.values()))
