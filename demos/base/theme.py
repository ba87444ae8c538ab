"""How the page looks: theme, style sheet, logo, browser code.

Knows: colours, fonts (the system's own: nothing is fetched from another host), files in assets/.
Does not know: components.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import gradio as gr

from omni.shipped import ASSETS

LOGO = ASSETS / "logo.svg"
STYLES = tuple(
    ASSETS / f"{name}.css"
    for name in ("style", "model", "live", "voices", "conversations", "gradio")
)
FRAME = ASSETS / "frame.css"  # goes into the document's head
# In the order in which they are run: each names what those before it have made.
SCRIPTS = tuple(
    ASSETS / "scripts" / f"{name}.js"
    for name in (
        *("gradio", "page", "header", "volume", "sounding", "gradio_player", "speech", "chat"),
        "follow",
        *("sidebar", "settle", "newest", "notice", "model", "composer", "files", "labels"),
        *("voices", "keys", "words", "live/log", "live/choices", "live/orb", "live/stage"),
        *("live/captions",),
        *("live/settings", "live/sound", "live/microphone", "live/player", "live/camera"),
        *("live/connection", "live/devices", "live/live", "live/mark"),
        *("conversations/archive", "conversations/store", "conversations/drafts"),
        *("conversations/note", "conversations/said", "conversations/carry"),
        *("conversations/list", "conversations/conversations"),
    )
)
# Code that is not run in the page but handed to the browser's audio thread.
WORKLET = ASSETS / "scripts" / "live" / "worklet.js"

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Noto Sans SC", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Our theme, for light and dark."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=_SANS,
        font_mono=_MONO,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        # Small print that everybody can read: 4.5 to 1 at least, also on gray.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        color_accent="*primary_700",
        layout_gap="10px",
        block_border_width="1px",
        block_shadow="0 1px 2px rgb(15 23 42 / 6%)",
        block_label_background_fill="*neutral_100",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_large_text_size="*text_md",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_dark="*neutral_700",
        button_secondary_background_fill_hover_dark="*neutral_600",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
    )


def head(locales: Mapping[str, str], choice: str = "") -> str:
    """Our browser code as script tags, the names of languages (for the switch) before it.

    ``choice``: the language of the whole page, if it is not the browser's.
    """
    table = json.dumps(locales)
    about = f'type="application/json" id="omni-locales" data-choice="{choice}"'
    frame = f"<style>{FRAME.read_text(encoding='utf-8')}</style>"
    scripts = [frame, f"<script {about}>{table}</script>"]
    scripts += [f"<script>{file.read_text(encoding='utf-8')}</script>" for file in SCRIPTS]
    worklet = WORKLET.read_text(encoding="utf-8")
    scripts.append(f'<script type="text/plain" id="omni-live-worklet">{worklet}</script>')
    return "\n".join(scripts)


def logo_svg() -> str:
    """The logo, to stand inside HTML."""
    return LOGO.read_text(encoding="utf-8")
