"""A model of any size with random weights that never ends its turn: for measuring, not for using.

Knows: how to draw weights through which a signal passes (unit gain, so that rounding errors are
those of a working network), which ids must not be drawn, a vocabulary of made-up words.
Does not know: what is measured.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging as transformers_logging

from omni import devices
from omni.config import OmniConfig, VocoderConfig
from omni.loading.checkpoint import Checkpoint, TensorInfo
from omni.loading.defaults import GenerationDefaults
from omni.loading.load import LoadedModel, settle, speech_options, tensors_to_model
from omni.loading.memory import PUBLISHED_VOCODER_BYTES
from omni.loading.nano import NANO_FOLDER
from omni.loading.placement import place
from omni.model.omni import OmniForCausalLM
from omni.model.vocoder.hift import HiFTVocoder
from omni.prompting.special_tokens import NAMES
from omni.prompting.tokenizer import OmniTokenizer
from omni.settings import LoadReport, QuantizationChoice

CONFIGS = Path(__file__).parent / "configs"
SEED = 7
POOL = 2**21 + 7  # normal values that every weight is cut from; odd, so that rows differ
NEVER = -1e4  # the score of the class that ends speech
TEXT_IDS = 151_643  # of the published vocabulary
ADDED_IDS = 59
# Published ids; a vocabulary of another size gives its own in config.json.
ADDED_PLACES = {
    "<|endoftext|>": 0,
    "<B_SYS>": 22,
    "<C_Q>": 24,
    "<C_A>": 25,
    "<audio_start_baichuan>": 33,
    "<audio_end_baichuan>": 34,
    "<audio_pad_baichuan>": 35,
    "<img_start_baichuan>": 36,
    "<img_end_baichuan>": 37,
    "<img_pad_baichuan>": 38,
    "<video_palce_baichuan>": 51,
    "<video_start_baichuan>": 52,
    "<video_end_baichuan>": 53,
    "<audiotext_start_baichuan>": 54,
    "<audiotext_end_baichuan>": 55,
    "<audiotext_pad_baichuan>": 56,
    "<audiogen_start_baichuan>": 57,
    "<audiogen_end_baichuan>": 58,
}


class RandomWeights:
    """Draws tensors by name and shape, each from the same stock of normal values."""

    def __init__(self, never_drawn: tuple[int, ...] = (), device: str = "cpu") -> None:
        """
        Args:
            never_drawn: rows of the text head that score zero, far below the best.
            device: where they are drawn: on a GPU in no time, and the same.
        """
        self._pool = torch.randn(POOL, generator=torch.Generator().manual_seed(SEED)).to(device)
        self._scaled: dict[tuple[float, torch.dtype], Tensor] = {}  # the pool times a deviation
        self._never_drawn = list(never_drawn)
        self._offset = 0

    def draw(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Unit gain for matrices and kernels, one for norms' scales, zero for other vectors."""
        if len(shape) < 2:
            scale = name.endswith("weight") or "alpha" in name
            device = self._pool.device
            tensor = torch.full(shape, 1.0 if scale else 0.0, dtype=dtype, device=device)
            if name == "audio_head.heads.0.bias":
                tensor[-1] = NEVER
            return tensor
        tensor = self._normal(shape, 1 / math.sqrt(_inputs(name, shape)), dtype)
        if name == "lm_head.weight" and self._never_drawn:
            tensor[self._never_drawn] = 0
        return tensor

    def _normal(self, shape: torch.Size, std: float, dtype: torch.dtype) -> Tensor:
        tensor = torch.empty(shape, dtype=dtype, device=self._pool.device)
        flat = tensor.view(-1)
        if (std, dtype) not in self._scaled:
            self._scaled[std, dtype] = (self._pool * std).to(dtype)
        scaled = self._scaled[std, dtype]
        filled = 0
        while filled < len(flat):
            piece = scaled[self._offset : self._offset + len(flat) - filled]
            flat[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._offset = (self._offset + len(piece)) % POOL
        return tensor


class RandomSlice:
    """A tensor that is drawn when it is read, as transformers reads those of a file."""

    def __init__(
        self, weights: RandomWeights, name: str, shape: torch.Size, dtype: torch.dtype
    ) -> None:
        self._weights, self._name, self._shape, self._dtype = weights, name, shape, dtype

    def get_shape(self) -> list[int]:
        """As of a safetensors slice."""
        return list(self._shape)

    def get_dtype(self) -> str:
        """As of a safetensors slice."""
        return {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[self._dtype]

    def __getitem__(self, index: Any) -> Tensor:
        return self._weights.draw(self._name, self._shape, self._dtype)[index]


def _inputs(name: str, shape: torch.Size) -> int:
    """Values that go into one output of this matrix, kernel or table."""
    if ".codebook." in name or "embed" in name:
        return 1  # a table: rows of unit variance
    if "dconv" in name or ".ups." in name:  # transposed: (in, out, kernel)
        return shape[0]
    if name.startswith("audio_head") and (".linear1." in name or ".linear2." in name):
        # One matrix a codebook side by side: linear1 (2 D, codebooks x D), linear2 the reverse.
        width = shape[0] // 2 if ".linear1." in name else 2 * shape[0]
        return width
    return math.prod(shape[1:])


def read_config(name: str) -> tuple[OmniConfig, VocoderConfig]:
    """The sizes of ``full`` (the published ones), ``mid`` or ``nano``."""
    if name == "full":
        return OmniConfig(), VocoderConfig()
    if name == "nano":
        vocoder = VocoderConfig.from_file(NANO_FOLDER / "vocoder_config.json")
        return OmniConfig.from_pretrained(NANO_FOLDER), vocoder
    values = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return OmniConfig.from_dict(values), VocoderConfig()


def tokenizer_for(config: OmniConfig) -> OmniTokenizer:
    """nano's own tokenizer; for the published vocabulary one of made-up words with its ids."""
    if config.vocab_size < TEXT_IDS:
        return OmniTokenizer.from_folder(NANO_FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        write_vocabulary(Path(folder))
        return OmniTokenizer.from_folder(folder)


def write_vocabulary(folder: Path) -> None:
    """256 bytes, then words of letters alone, then the added tokens."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(0x100 + i) for i in range(len(others))]
    vocabulary = {letter: token for token, letter in enumerate(letters)}
    for token in range(len(letters), TEXT_IDS):
        number, word = token, ""
        while number:
            number, letter = divmod(number, 26)
            word += chr(ord("a") + letter)
        vocabulary[f"\u0120{word}"] = token  # U+0120: byte-level BPE's space
    unnamed = set(range(ADDED_IDS)) - set(ADDED_PLACES.values())
    added = {f"<spare_{place}>": TEXT_IDS + place for place in unnamed}
    added |= {name: TEXT_IDS + place for name, place in ADDED_PLACES.items()}
    assert set(NAMES.values()) <= set(added)
    for name, values in (("vocab.json", vocabulary), ("added_tokens.json", added)):
        (folder / name).write_text(json.dumps(values), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")


class RandomCheckpoint(Checkpoint):
    """The sizes of a checkpoint that has no files."""

    def __init__(self, config: OmniConfig, shapes: dict[str, torch.Size]) -> None:
        super().__init__(CONFIGS, "random weights")
        self.__dict__["config"] = config.to_dict()
        self.__dict__["tensors"] = {name: TensorInfo("F32", tuple(s)) for name, s in shapes.items()}


def load_random(
    name: str,
    device: str,
    dtype: str,
    quantization: QuantizationChoice = "none",
    offload: bool | None = None,
    flow_steps: int | None = None,
) -> LoadedModel:
    """A model of the sizes ``name``, placed and quantized as a checkpoint would be."""
    started = time.perf_counter()
    config, vocoder_config = read_config(name)
    tokenizer = tokenizer_for(config)
    choice = devices.choose_device(device)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in OmniForCausalLM(config).state_dict().items()}
    parameters = sum(shape.numel() for shape in shapes.values())
    dtype_choice = devices.choose_dtype(choice.name, parameters, dtype)
    devices.use_threads(choice.name, 4 * parameters)
    placement = place(
        RandomCheckpoint(config, shapes),
        config,
        choice.name,
        dtype_choice.dtype,
        PUBLISHED_VOCODER_BYTES,
        quantization,
        offload,
    )
    special = tokenizer.special
    never = (special.end_of_text, special.audiogen_start)
    where = placement.places[""] if choice.name.startswith("cuda") else "cpu"
    weights = RandomWeights(never, where)
    slices: Any = {
        key: RandomSlice(weights, key, shape, dtype_choice.dtype) for key, shape in shapes.items()
    }
    transformers_logging.disable_progress_bar()
    model, left = tensors_to_model(
        slices, config, dtype_choice.dtype, placement.places, placement.plan.quantization
    )
    assert not left, left
    speech = settle(model, placement, dtype_choice.dtype)
    vocoder = random_vocoder(vocoder_config, weights).to(placement.places[""])
    report = LoadReport(
        checkpoint=f"{name} (random weights)",
        parameters=parameters + sum(p.numel() for p in vocoder.parameters()),
        dtype=dtype_choice.name,
        dtype_reason=dtype_choice.reason,
        device=placement.device,
        device_reason=choice.reason,
        quantization=placement.plan.quantization,
        plan=placement.plan.name,
        memory_reason=placement.sentence,
        speech_dtype=speech.name,
        memory_bytes=devices.held_bytes(choice.name),
        load_s=time.perf_counter() - started,
        trained=False,
    )
    options = speech_options(placement.plan, flow_steps)
    return LoadedModel(model, vocoder, tokenizer, config, GenerationDefaults(), report, options)


def random_vocoder(config: VocoderConfig, weights: RandomWeights) -> HiFTVocoder:
    """The vocoder, float32, weight norm multiplied out; a hum of about 160 Hz."""
    vocoder = HiFTVocoder(config)
    vocoder.load_state_dict(vocoder_state(config, weights))
    return vocoder.fold_weight_norm().eval()


def vocoder_state(config: VocoderConfig, weights: RandomWeights) -> dict[str, Tensor]:
    """The tensors of such a vocoder as its file has them."""
    vocoder = HiFTVocoder(config)
    state = {
        name: weights.draw(name, tensor.shape, tensor.dtype)
        for name, tensor in vocoder.state_dict().items()
    }
    for name, direction in state.items():
        if name.endswith("weight_v"):
            lengths = direction.flatten(1).norm(dim=1)
            gain = f"{name.removesuffix('v')}g"
            state[gain] = lengths.view_as(state[gain])
    vocoder.load_state_dict(state)
    with torch.no_grad():
        vocoder.f0_predictor.classifier.bias.fill_(160.0)
        vocoder.conv_post.weight_g.mul_(0.1)
    return vocoder.state_dict()
