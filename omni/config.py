"""Every size of the model, read from the published config.json and kept as published for saving.

Knows: sizes, rates and token ids of each part, as frozen dataclasses (``config.audio``,
``config.visual``, ``config.video``, ``config.flow``, ``config.post_net``) beside the nested
dictionaries of the file. The defaults are those of Baichuan-Omni-1.5.
Does not know: modules, files other than config.json, prompts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from omni.errors import CheckpointError
from omni.libraries.hugging_face import PretrainedConfig
from omni.records import complete, plain, read

AUDIO_HEAD_WIDTH = 128  # channels of one attention head of the audio head


@dataclass(frozen=True)
class VqConfig:
    """The residual quantizer; one size a codebook, coarse to fine."""

    enable: bool = True  # not read
    # entries of each codebook
    codebook_sizes: tuple[int, ...] = (8192, 4096, 2048, 1024, 1024, 1024, 1024, 1024)


@dataclass(frozen=True)
class AudioConfig:
    """``audio_config``: audio encoder, quantizer, decoder, audio head, token ids."""

    enable: bool = True  # not read
    d_model: int = 1280  # width of encoder and decoder
    encoder_layers: int = 32  # transformer blocks
    encoder_attention_heads: int = 20  # of each block
    encoder_ffn_dim: int = 5120  # width inside a block
    decoder_layers: int = 8  # transformer blocks
    decoder_attention_heads: int = 20  # of each block
    decoder_ffn_dim: int = 5120  # width inside a block
    kernel_size: int = 3  # of both convolutions before the encoder
    stride_size: int = 2  # mel frames to an encoder frame
    decoder_kernel_size: int = 3  # of the transposed convolution
    decoder_stride_size: int = 2  # not read
    avg_pooler: int = 4  # encoder frames a code
    num_mel_bins: int = 128  # of the encoder's log-mel
    n_fft: int = 400  # samples
    hop_length: int = 160  # samples
    sampling_rate: int = 16_000  # Hz
    max_audio_seconds: int = 30  # of one piece of sound
    split_overlap: float = 0.0  # not read: pieces do not overlap
    vq_config: VqConfig = field(default_factory=VqConfig)  # the quantizer
    audio_head_transformer_layers: int = 3  # blocks that predict a frame's codes
    audio_start_token_id: int = 151676  # before what is heard
    audio_end_token_id: int = 151677  # after it
    audio_pad_token_id: int = 151678  # one a frame of codes
    audio_delim_token_id: int = 151693  # not used
    audiotext_start_token_id: int = 151697  # asks for speech
    audiotext_end_token_id: int = 151698  # not written
    audiotext_pad_token_id: int = 151699  # not written
    audiogen_start_token_id: int = 151700  # before a spoken piece
    audiogen_end_token_id: int = 151701  # after it

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Entries of each codebook; the class after the last (index K) ends the audio."""
        return self.vq_config.codebook_sizes

    @property
    def num_codebooks(self) -> int:
        """Codes a frame."""
        return len(self.codebook_sizes)

    @property
    def latent_dim(self) -> int:
        """Width of a code's vector: the pooled encoder frames side by side."""
        return self.avg_pooler * self.d_model

    @property
    def max_mel_frames(self) -> int:
        """Mel frames of the longest piece, also the audio decoder's positions (3000)."""
        return self.max_audio_seconds * self.sampling_rate // self.hop_length

    @property
    def max_encoder_frames(self) -> int:
        """Positions of the audio encoder (1500)."""
        return self.max_mel_frames // self.stride_size


@dataclass(frozen=True)
class VisualConfig:
    """``visual_config``: vision tower, picture preprocessing and token ids.

    The file's other keys (some of an unrelated CLIP model) are kept but mean nothing. The width
    that the bridge gives is the language model's.
    """

    enable: bool = True  # not read
    depth: int = 32  # transformer blocks
    embed_dim: int = 1280  # width
    num_heads: int = 16  # attention heads
    mlp_ratio: float = 4  # width inside a block, in embed_dim
    hidden_act: str = "quick_gelu"  # activation inside a block
    in_channels: int = 3  # red, green, blue
    patch_size: int = 14  # pixels
    temporal_patch_size: int = 2  # frames of a patch: a picture twice
    spatial_merge_size: int = 2  # of the tower's positions and the bridge
    merge_size: int = 2  # of the preprocessing's patch order
    min_pixels: int = 3136  # smaller pictures are enlarged
    max_pixels: int = 3_211_264  # larger pictures are reduced
    # of red, green and blue, subtracted
    image_mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)  # of the same, divided by
    image_start_token_id: int = 151679  # before a picture or frame
    image_end_token_id: int = 151680  # after it
    image_pad_token_id: int = 151681  # one a row of a picture
    image_line_token_id: int = 151682  # not used
    image_delimiter_token_id: int = 151688  # not used

    @property
    def patch_features(self) -> int:
        """Values of one flattened patch (1176)."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def mlp_dim(self) -> int:
        """Width of the tower's feed-forward layers."""
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def merged_patches(self) -> int:
        """Patches that become one row of the language model (4)."""
        return self.spatial_merge_size**2


@dataclass(frozen=True)
class VideoConfig(VisualConfig):
    """``video_config``: preprocessing of frames and token ids; the tower is the picture's."""

    max_pixels: int = 602_112  # of a frame
    max_frame_num: int = 32  # frames of a clip; more are thinned out
    decode_way: str = "1fps"  # not read: one frame a second
    video_place_token_id: int = 151694  # one a row of a frame
    video_start_token_id: int = 151695  # never reaches the model
    video_end_token_id: int = 151696  # never reaches the model


@dataclass(frozen=True)
class CfmConfig:
    """Conditional flow matching; ``inference_cfg_rate`` is the guidance r of (1 + r) v - r v0."""

    sigma_min: float = 1e-6  # noise that is left at the end of the flow
    solver: str = "euler"  # of the flow's equation
    t_scheduler: str = "cosine"  # how the steps are spread over time
    training_cfg_rate: float = 0.2  # share of training examples without a condition
    inference_cfg_rate: float = 0.7  # guidance
    reg_loss_type: str = "l1"  # of training; not read


@dataclass(frozen=True)
class FlowConfig:
    """``flow_matching_config``: prenet and flow estimator, codes to the vocoder's mel."""

    enable: bool = True  # not read: speech always goes through the flow
    use_hires_mel: bool = True  # not read
    use_hidden_states_before_dconv2: bool = True  # not read
    sampling_rate: int = 24_000  # Hz
    hop_length: int = 480  # samples
    max_audio_seconds: int = 30  # of one piece of speech
    prenet_in_dim: int = 1280  # width of the audio decoder
    prenet_out_dim: int = 80  # mel bins
    prenet_d_model: int = 512  # width of the prenet
    prenet_attention_heads: int = 8  # of each block
    prenet_ffn_dim: int = 2048  # width inside a block
    prenet_nlayers: int = 12  # transformer blocks
    prenet_activation_function: str = "gelu"  # inside a block
    prenet_max_source_positions: int = 5000  # frames
    prenet_target_mel_length_scale_ratio: float = 1.0  # mel frames to one of the prenet
    in_channels: int = 80  # mel bins
    spk_emb_dim: int = 0  # width of a speaker embedding; 0: there is none
    diffusion_steps: int = 10  # Euler steps
    channels: tuple[int, ...] = (256,)  # width of each level of the U-Net
    dropout: float = 0.0  # in training
    attention_head_dim: int = 64  # width of an attention head
    n_blocks: int = 4  # transformer blocks after each convolution
    num_mid_blocks: int = 12  # stages in the middle of the U-Net
    num_heads: int = 8  # attention heads
    act_fn: str = "gelu"  # activation inside a block
    cfm_params: CfmConfig = field(default_factory=CfmConfig)  # the flow itself


@dataclass(frozen=True)
class PostNetConfig:
    """``vocoder_config`` of config.json: the coarse mel path (dconv2, post_net).

    Its tensors are in the checkpoint; nothing reads them when flow matching is on.
    """

    enable: bool = True  # not read
    enable_multi_scale: bool = True  # not read
    max_audio_seconds: int = 30  # of one piece of speech
    sampling_rate: int = 16_000  # Hz
    hop_length: int = 256  # samples
    n_fft: int = 1024  # samples
    split_overlap: float = 0.0  # not read
    num_mel_bins: int = 80  # of the coarse mel
    channels: tuple[int, ...] = (256, 256, 256, 256, 256)  # width of each convolution


@dataclass(frozen=True)
class F0PredictorConfig:
    """The vocoder's pitch predictor."""

    num_class: int = 1  # pitches a frame
    in_channels: int = 80  # mel bins
    cond_channels: int = 512  # width of the convolutions


@dataclass(frozen=True)
class IstftConfig:
    """The vocoder's last step, in samples."""

    n_fft: int = 16  # window
    hop_len: int = 4  # from one window to the next


_DILATIONS = ((1, 3, 5), (1, 3, 5), (1, 3, 5))


@dataclass(frozen=True)
class VocoderConfig:
    """The HiFT vocoder (a file of its own, ``vocoder_config.json``; absent: the published one)."""

    in_channels: int = 80  # mel bins
    base_channels: int = 512  # width of the first layer, halved at each upsampling
    nb_harmonics: int = 8  # of the pitch, in the source
    sampling_rate: int = 24_000  # Hz
    nsf_alpha: float = 0.1  # loudness of the harmonics
    nsf_sigma: float = 0.003  # loudness of the noise beside them
    nsf_voiced_threshold: float = 10  # Hz
    upsample_rates: tuple[int, ...] = (8, 5, 3)  # samples out for one in, of each layer
    upsample_kernel_sizes: tuple[int, ...] = (16, 11, 7)  # of the same layers
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)  # of the residual blocks after each of them
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = _DILATIONS  # of each block
    source_resblock_kernel_sizes: tuple[int, ...] = (7, 7, 11)  # of the blocks for the source
    source_resblock_dilation_sizes: tuple[tuple[int, ...], ...] = _DILATIONS  # of each of them
    lrelu_slope: float = 0.1  # of the activations below zero
    audio_limit: float = 0.99  # of a sample's size
    f0_predictor: F0PredictorConfig = field(default_factory=F0PredictorConfig)  # pitch from mel
    istft_params: IstftConfig = field(default_factory=IstftConfig)  # the last step

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VocoderConfig:
        """The sizes of a dictionary; unknown keys are ignored, missing ones are the published."""
        return read(cls, values)

    @classmethod
    def from_file(cls, path: Path) -> VocoderConfig:
        """The sizes of a JSON file.

        Raises:
            CheckpointError: the file is not a JSON object.
        """
        return cls.from_dict(read_object(path))

    @property
    def samples_per_frame(self) -> int:
        """Samples of a mel frame (480): every upsampling step, and the inverse transform's hop."""
        return math.prod(self.upsample_rates) * self.istft_params.hop_len

    def to_dict(self) -> dict[str, Any]:
        """What :meth:`from_dict` reads, as JSON has it."""
        return plain(asdict(self))


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CheckpointError: the file holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a mark
    except ValueError as error:
        raise _no_object(path) from error
    if not isinstance(values, dict):
        raise _no_object(path)
    return values


def _no_object(path: Path) -> CheckpointError:
    return CheckpointError(
        "config-broken", "{path} is not a JSON object: fetch it again.", path=path
    )


class OmniConfig(PretrainedConfig):
    """The published config.json, unchanged: see the published sizes in the arguments' defaults.

    A nested dictionary may be partial: what it leaves out is filled with the published value.
    """

    model_type: ClassVar[str] = "omni"

    def __init__(
        self,
        *,
        vocab_size: int = 152_064,
        hidden_size: int = 3584,
        intermediate_size: int = 18_944,
        num_hidden_layers: int = 28,
        num_attention_heads: int = 28,
        num_key_value_heads: int = 4,
        head_dim: int | None = None,
        hidden_act: str = "silu",
        rms_norm_eps: float = 1e-6,
        rope_theta: float = 1_000_000.0,
        max_position_embeddings: int = 32_768,
        initializer_range: float = 0.02,
        use_cache: bool = False,
        tie_word_embeddings: bool = False,
        bos_token_id: int | None = 1,
        eos_token_id: int | list[int] | None = 2,
        pad_token_id: int | None = 0,
        audio_config: dict[str, Any] | None = None,
        visual_config: dict[str, Any] | None = None,
        video_config: dict[str, Any] | None = None,
        flow_matching_config: dict[str, Any] | None = None,
        vocoder_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.head_dim = hidden_size // num_attention_heads if head_dim is None else head_dim
        self.hidden_act = hidden_act
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.use_cache = use_cache
        self.audio_config = complete(AudioConfig, audio_config)
        self.visual_config = {"hidden_size": hidden_size} | complete(VisualConfig, visual_config)
        self.video_config = {"hidden_size": hidden_size} | complete(VideoConfig, video_config)
        self.flow_matching_config = complete(FlowConfig, flow_matching_config)
        self.vocoder_config = complete(PostNetConfig, vocoder_config)
        kwargs |= {
            "tie_word_embeddings": tie_word_embeddings,
            "bos_token_id": bos_token_id,
            "eos_token_id": eos_token_id,
            "pad_token_id": pad_token_id,
        }
        super().__init__(**kwargs)

    @property
    def layer_types(self) -> list[str]:
        """Full attention in every layer: the file's ``sliding_window`` is not used."""
        return ["full_attention"] * self.num_hidden_layers

    @property
    def audio(self) -> AudioConfig:
        """``audio_config``, typed."""
        return read(AudioConfig, self.audio_config)

    @property
    def visual(self) -> VisualConfig:
        """``visual_config``, typed."""
        return read(VisualConfig, self.visual_config)

    @property
    def video(self) -> VideoConfig:
        """``video_config``, typed."""
        return read(VideoConfig, self.video_config)

    @property
    def flow(self) -> FlowConfig:
        """``flow_matching_config``, typed."""
        return read(FlowConfig, self.flow_matching_config)

    @property
    def post_net(self) -> PostNetConfig:
        """``vocoder_config`` of config.json (not the vocoder: :class:`VocoderConfig`), typed."""
        return read(PostNetConfig, self.vocoder_config)
