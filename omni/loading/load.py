"""A checkpoint to a model that can run: found or fetched, checked, placed, quantized, loaded.

Knows: the order of these steps and their progress. Does not know: turns, the engine's queue.
Only safetensors are read, and the published vocoder file without its pickled code; nothing of a
checkpoint is ever executed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from omni import devices
from omni.config import OmniConfig
from omni.errors import CheckpointError
from omni.events import SPEECH_RATE, Progress
from omni.loading import hub
from omni.loading.checkpoint import Checkpoint, check_pointer, find_vocoder
from omni.loading.defaults import GenerationDefaults
from omni.loading.kept.checkpoint import QuantizedCheckpoint, bits_to_run, open_checkpoint
from omni.loading.kept.keeping import Keepable, keepable_load, taken
from omni.loading.nano import nano_folder
from omni.loading.offload import carry_out
from omni.loading.placement import DeviceMap, Placement, choose_model, place
from omni.loading.plans import Plan
from omni.loading.progress.background import Report, in_background
from omni.loading.progress.reading import Reading, each_tensor
from omni.loading.quantization import (
    QUANTIZED_PREFIX,
    Quantization,
    by_pieces,
    check_available,
    config_to_load,
    laid_out,
)
from omni.loading.values import WeightFiles, check_numbers
from omni.model.audio.flow import FlowOptions
from omni.model.audio.mel_stream import MelStreamOptions
from omni.model.layers.linear import use_fast_products
from omni.model.omni import OmniForCausalLM
from omni.model.vocoder.base import VocoderModel, VocoderSizes
from omni.model.vocoder.checkpoint import load_vocoder
from omni.model.vocoder.kinds import CONFIG_FILE as VOCODER_CONFIG
from omni.model.vocoder.kinds import read_vocoder_config
from omni.prompting.tokenizer import OmniTokenizer
from omni.settings import NANO, EngineSettings, LoadReport
from omni.speech.decoder import SpeechOptions

logger = logging.getLogger(__name__)
CHECKS = 3  # of files, of sizes, of the tokenizer
VOCODER_VARIABLE = "OMNI_VOCODER"  # environment: the vocoder's file, or the folder that has it


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Everything a turn needs, on its devices."""

    model: OmniForCausalLM
    vocoder: VocoderModel  # float32
    tokenizer: OmniTokenizer
    config: OmniConfig
    defaults: GenerationDefaults
    report: LoadReport
    speech: SpeechOptions = field(default_factory=SpeechOptions)
    keepable: Keepable | None = None  # None: there are no quantized weights to keep


@dataclass(frozen=True, eq=False)
class Found:
    """A checkpoint that is on the disk and was checked; no weight was read yet."""

    checkpoint: Checkpoint
    config: OmniConfig
    tokenizer: OmniTokenizer
    vocoder_file: Path
    vocoder_config: VocoderSizes


def find(name: str) -> Generator[Progress, None, Found]:
    """Everything that belongs to the checkpoint ``name``, fetched where need be.

    Raises:
        CheckpointError: it cannot be found, is broken, incomplete or of another architecture.
        ResourceError: the disk is too small for it.
    """
    checkpoint = yield from find_checkpoint(name)
    # It holds nothing that anybody misses, and a large vocabulary takes its time.
    config, tokenizer = yield from in_background(lambda report: _check(checkpoint, report), 0)
    vocoder_file = yield from find_vocoder_file(checkpoint)
    check_pointer(vocoder_file)
    vocoder_config = matching_vocoder_config(checkpoint, vocoder_file, config)
    return Found(checkpoint, config, tokenizer, vocoder_file, vocoder_config)


def _check(checkpoint: Checkpoint, report: Report) -> tuple[OmniConfig, OmniTokenizer]:
    """The checks of everything but the vocoder; a report before each of them."""
    report(Progress("check", 0, CHECKS))
    checkpoint.check_pointers()
    report(Progress("check", 1, CHECKS))
    config = read_config(checkpoint)
    report(Progress("check", 2, CHECKS))
    tokenizer = OmniTokenizer.from_folder(checkpoint.folder)
    tokenizer.special.check(config)
    report(Progress("check", CHECKS, CHECKS))
    return config, tokenizer


def load(
    settings: EngineSettings,
    make_room: Callable[[], None] = lambda: None,
    beside: Callable[[OmniConfig], int] = lambda config: 0,
) -> Generator[Progress, None, LoadedModel]:
    """Load what ``settings`` say; yields progress, returns the model.

    ``make_room`` is called when everything was found, fetched and checked, before memory is taken.
    ``beside`` is called before it: bytes that will be put beside a model of these sizes.

    Raises:
        CheckpointError: it cannot be found, is broken, incomplete or of another architecture.
        ResourceError: device, dtype, quantization, memory or disk do not allow it.
    """
    started = time.perf_counter()
    device = devices.choose_device(settings.device)
    devices.check_dtype(settings.dtype)
    check_available(settings.quantization, device.name)
    name = choose_model(settings.model, settings.quantization, device.name)
    found = yield from find(name)
    checkpoint = found.checkpoint
    besides = found.vocoder_file.stat().st_size + beside(found.config)
    quantization = bits_to_run(checkpoint, settings.quantization, device.name)

    make_room()
    choice = devices.choose_dtype(device.name, checkpoint.parameters(), settings.dtype)
    devices.use_threads(device.name, 4 * checkpoint.parameters())
    placement = place(
        checkpoint, found.config, device.name, choice.dtype, besides, quantization, settings.offload
    )
    logger.info("%s: %s", name, placement.sentence)
    keepable = keepable_load(checkpoint, found.vocoder_file, placement, choice.dtype)
    found = yield from _from_kept(found, keepable, settings.keep_quantized)
    model, vocoder, speech = yield from _read(found, placement, choice.dtype)
    report = LoadReport(
        checkpoint=name,
        revision=checkpoint.revision,
        parameters=checkpoint.parameters() + _parameters(vocoder),
        dtype=choice.name,
        dtype_reason=choice.reason,
        device=placement.device,
        device_reason=device.reason,
        quantization=placement.plan.quantization,
        plan=placement.plan.name,
        memory_reason=placement.sentence,
        planned_bytes=placement.need,
        speech_dtype=speech.name,
        speech_dtype_reason=speech.reason,
        memory_bytes=devices.held_bytes(device.name),
        load_s=time.perf_counter() - started,
        trained=checkpoint.defaults.trained,
        kept=found.checkpoint is not checkpoint,
        keep_bytes=keepable.bytes if keepable else 0,
    )
    options = speech_options(placement.plan, settings.flow_steps)
    parts = (model, vocoder, found.tokenizer, found.config, checkpoint.defaults)
    return LoadedModel(*parts, report, options, keepable)


def _from_kept(
    found: Found, keepable: Keepable | None, make: bool
) -> Generator[Progress, None, Found]:
    """``found`` with the weights that are kept of it, if there are any that are good."""
    kept = yield from taken(keepable, make)
    try:
        return replace(found, checkpoint=kept, config=read_config(kept)) if kept else found
    except CheckpointError as error:  # of the right sizes, and yet spoilt
        logger.warning("%s (`omni cache rm` removes what is kept.)", error)
        return found


def _read(
    found: Found, placement: Placement, dtype: torch.dtype
) -> Generator[Progress, None, tuple[OmniForCausalLM, VocoderModel, devices.DtypeChoice]]:
    """Model and vocoder in their places, and the dtype of codes to mel."""

    def read(
        report: Report,
    ) -> tuple[OmniForCausalLM, VocoderModel, devices.DtypeChoice]:
        """In the background."""
        model = load_weights(
            found.checkpoint,
            found.config,
            dtype,
            placement.places,
            placement.plan.quantization,
            report,
        )
        laid_out(model, report)
        speech = settle(model, placement, dtype)
        vocoder = load_vocoder(found.vocoder_file, found.vocoder_config).requires_grad_(False)
        check_numbers(vocoder.state_dict(), found.vocoder_file)
        return model, vocoder.to(placement.places[""]), speech

    return (yield from in_background(read))


def settle(model: OmniForCausalLM, placement: Placement, dtype: torch.dtype) -> devices.DtypeChoice:
    """Carry the plan out on the loaded model; gives the dtype of codes to mel, and its reason."""
    if placement.device != "cuda":  # on several GPUs accelerate's hooks stay as they are
        carry_out(model, placement.plan, placement.device)
    speech = devices.choose_speech_dtype(placement.device, dtype)
    if speech.dtype != dtype:
        for part in model.audio_tokenizer.decoding_parts():
            part.to(speech.dtype)
    return speech


def speech_options(plan: Plan, flow_steps: int | None = None) -> SpeechOptions:
    """How speech is decoded under ``plan``."""
    flow = FlowOptions(steps=flow_steps)
    return SpeechOptions(MelStreamOptions(context_frames=plan.context_frames, flow=flow))


def find_checkpoint(name: str) -> Generator[Progress, None, Checkpoint]:
    """The checkpoint that ``name`` stands for: nano, a folder, or a name on the Hub.

    Raises:
        CheckpointError: there is none.
        ResourceError: the disk is too small for it.
    """
    if name == NANO:
        folder = yield from in_background(lambda report: nano_folder())
        return open_checkpoint(folder, name)
    path = Path(name).expanduser()
    if path.exists() or not hub.is_repository(name):
        return open_checkpoint(path, name)
    repository, revision = hub.parted(name)
    folder = yield from hub.fetch(repository, revision=revision)
    return open_checkpoint(folder, name)


def read_config(checkpoint: Checkpoint) -> OmniConfig:
    """The configuration, after a comparison with the tensors of the weight files.

    Raises:
        CheckpointError: unreadable, meaningless, or not what the files have.
    """
    values = checkpoint.config
    checkpoint.check_depth()
    try:
        config = OmniConfig.from_dict(values)
        with torch.device("meta"):
            expected = OmniForCausalLM(config).state_dict()
    except Exception as error:  # whatever it is, it comes from the numbers in the file
        raise CheckpointError(
            "config-invalid",
            "config.json of {path} does not describe a model that can be built ({detail}): "
            "fetch it again.",
            path=checkpoint.folder,
            detail=error,
        ) from error
    checkpoint.check_tensors({name: tuple(tensor.shape) for name, tensor in expected.items()})
    return config


def find_vocoder_file(checkpoint: Checkpoint) -> Generator[Progress, None, Path]:
    """The vocoder's file: where OMNI_VOCODER says, beside the model, or from the Hub.

    Raises:
        CheckpointError: in none of these places.
    """
    wanted = os.environ.get(VOCODER_VARIABLE)
    if wanted:
        path = Path(wanted).expanduser()
        found = path if path.is_file() else find_vocoder(path)
        if found is None:
            raise CheckpointError(
                "vocoder-variable",
                "{variable} names {path}, where no vocoder is (hift.pt): correct it or unset it.",
                variable=VOCODER_VARIABLE,
                path=path,
            )
        return found
    found = checkpoint.vocoder()
    if found is not None:
        return found
    try:
        folder = yield from hub.fetch(hub.VOCODER_REPOSITORY, [hub.VOCODER_FILE])
        found = find_vocoder(folder)
    except CheckpointError as error:
        raise _no_vocoder(checkpoint) from error
    if found is None:
        raise _no_vocoder(checkpoint)
    return found


def _no_vocoder(checkpoint: Checkpoint) -> CheckpointError:
    return CheckpointError(
        "vocoder-missing",
        "The vocoder {file} is not beside the model and could not be fetched from {repository}: "
        "check the network, put it into {path}, or set {variable} to its place.",
        file=hub.VOCODER_FILE,
        repository=hub.VOCODER_REPOSITORY,
        path=checkpoint.folder,
        variable=VOCODER_VARIABLE,
    )


def matching_vocoder_config(checkpoint: Checkpoint, file: Path, config: OmniConfig) -> VocoderSizes:
    """The vocoder's sizes: beside its file or, if that lies in the checkpoint, at its top.

    Raises:
        CheckpointError: unreadable, or made for another mel than the model's.
    """
    places = [file.parent]
    if checkpoint.folder in file.parents:
        places.append(checkpoint.folder)
    paths = [place / VOCODER_CONFIG for place in places]
    vocoder = read_vocoder_config(next((path for path in paths if path.is_file()), None))
    flow = config.flow
    made_for = (vocoder.in_channels, vocoder.sampling_rate, vocoder.samples_per_frame)
    if made_for != (flow.in_channels, SPEECH_RATE, flow.hop_length):
        raise CheckpointError(
            "vocoder-mismatch",
            "The vocoder {path} is made for another mel spectrogram than the model's.",
            path=file,
        )
    return vocoder


def load_weights(
    checkpoint: Checkpoint,
    config: OmniConfig,
    dtype: torch.dtype,
    placed: DeviceMap,
    quantization: Quantization,
    report: Report = lambda progress: None,
) -> OmniForCausalLM:
    """The model, tensor by tensor from the files to their places, ready for inference.

    Raises:
        CheckpointError: transformers found something to miss that the headers did not tell, or
            values that are no model's.
    """
    total = sum(info.size for info in checkpoint.tensors.values())
    stored = checkpoint if isinstance(checkpoint, QuantizedCheckpoint) else None
    quantizes = quantization != "none" and not stored
    reading = Reading(total, QUANTIZED_PREFIX if quantizes else None, report)
    with each_tensor(reading.look_up), by_pieces(quantizes, reading.look_up):
        files = WeightFiles(checkpoint.weight_files, reading.read)
        tensors = stored.as_loaded(files.slices, dtype) if stored else files.slices
        model, left = tensors_to_model(tensors, config, dtype, placed, quantization)
    if left:
        raise CheckpointError(
            "weights-incomplete",
            "{path} was not read completely ({detail}): fetch it again.",
            path=checkpoint.folder,
            detail=left,
        )
    files.check(checkpoint.folder)
    return model


def tensors_to_model(
    tensors: dict[str, Any],
    config: OmniConfig,
    dtype: torch.dtype,
    placed: DeviceMap,
    quantization: Quantization,
) -> tuple[OmniForCausalLM, dict[str, Any]]:
    """The model of ``tensors``, each read when it is indexed, and what did not fit into it."""
    offload = placed[""] != "cpu" and "cpu" in placed.values()
    loaded: Any = OmniForCausalLM.from_pretrained(
        None,
        config=config,
        state_dict=tensors,
        dtype=dtype,
        device_map=placed,
        quantization_config=config_to_load(config, quantization, dtype, offload),
        output_loading_info=True,
    )
    model, info = loaded
    left = {what: names for what, names in info.items() if names}
    use_fast_products(model)
    return model.requires_grad_(False).eval(), left


def _parameters(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.state_dict().values())
