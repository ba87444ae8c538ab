"""The languages that nano is taught."""

from __future__ import annotations

from typing import TypeAlias

from omni.conversation import PromptLanguage

# Everything that is said, written and asked in training is in one of these: the model's prompts
# exist in just these two.
Language: TypeAlias = PromptLanguage
