"""Gradio's page, with the routes of ours that are served beside it, and its answer to what fails.

Knows: that there are events and routes, what is an expected refusal. Does not know: what they do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from demos.base.events import refusal
from demos.base.given import check_event, checked, unusable
from demos.base.languages import Words
from omni.errors import OmniError

log = logging.getLogger(__name__)


class Page(gr.Blocks):
    """``beside``: routes for the same server. Gradio's login does not protect them: they must.
    ``before``: what every request passes, the first of them last; each makes an ASGI app of one.

    What a request cannot be given, and whatever of ours is refused, reaches whoever asked as a
    sentence, and the log not at all; what nobody expected stands in the log, once.
    """

    def __init__(self, words: Words, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.words = words
        self.beside: list[BaseRoute] = []
        self.before: list[Callable[[ASGIApp], ASGIApp]] = []

    async def process_api(
        self, block_fn: BlockFunction | int, *arguments: Any, **options: Any
    ) -> dict[str, Any]:
        """Gradio's, for every step of every event."""
        language = self.words.of(_one(options.get("request")))
        try:
            if isinstance(block_fn, BlockFunction) and options.get("iterator") is None:
                told = options.get("event_data")
                check_event(block_fn.fn, getattr(told, "_data", None))
            return await super().process_api(block_fn, *arguments, **options)
        except gr.Error as error:
            error.print_exception = False
            raise
        except OmniError as error:
            raise refusal(self.words.error(language, error)) from error
        except Exception as error:
            log.exception("the event %s failed", getattr(block_fn, "api_name", block_fn))
            raise refusal(self.words.say(language, "unexpected")) from error

    async def preprocess_data(
        self,
        block_fn: BlockFunction,
        inputs: list[Any],
        state: SessionState | None,
        explicit_call: bool = False,
    ) -> list[Any]:
        """Gradio's; what a component cannot take is a GivenError."""
        public = block_fn.api_visibility == "public"
        values = checked(block_fn.inputs, inputs, public)
        try:
            return await super().preprocess_data(block_fn, values, state, explicit_call)
        except (ValueError, TypeError, LookupError, AttributeError, FileNotFoundError) as error:
            if isinstance(error, (gr.Error, OmniError)):
                raise
            log.info("a value of %s cannot be used: %s", block_fn.api_name, error)
            raise unusable(block_fn.inputs, public) from error


def routes_beside(page: gr.Blocks) -> list[BaseRoute]:
    """The routes of ours to serve with ``page``."""
    return page.beside if isinstance(page, Page) else []


def doors_of(page: gr.Blocks) -> list[Callable[[ASGIApp], ASGIApp]]:
    """What requests to ``page`` pass, the first of them last."""
    return page.before if isinstance(page, Page) else []


def _one(request: Any) -> Any:
    """The request of an event; Gradio gives those of a batch as a list."""
    return request[0] if isinstance(request, list) and request else request or None
