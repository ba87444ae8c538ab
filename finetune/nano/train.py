"""Trains the embedded checkpoint from nothing: one command, stage by stage, resumable.

``python -m finetune.nano.train --out runs/nano`` synthesizes the features, trains every stage, and
writes the checkpoint to assets/nano. Called again, it goes on where it stopped. ``--start FOLDER``
begins with the weights of a checkpoint of these sizes instead of random ones.

Knows: what each stage is made of and begins with. Does not know: how long it takes
(:mod:`finetune.nano.plan`), losses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from finetune.nano.base.checkpoint import (
    fresh_model,
    fresh_vocoder,
    load_checkpoint,
    nano_config,
    write_checkpoint,
)
from finetune.nano.base.loop import Loop, Losses
from finetune.nano.examples import bank
from finetune.nano.flags import parser
from finetune.nano.plan import Plan, Stage
from finetune.nano.speech import store
from finetune.nano.speech.store import DecodedStore, UtteranceStore
from finetune.nano.stages.decoder import DecoderStage
from finetune.nano.stages.ears import LEARNS as EARS
from finetune.nano.stages.ears import EarsStage
from finetune.nano.stages.flow import FlowStage
from finetune.nano.stages.flow_start import start_estimator
from finetune.nano.stages.language import LanguageStage, collate
from finetune.nano.stages.pitch import PitchStage, fold_scales, unfold_scales
from finetune.nano.stages.tokenizer import TokenizerStage
from finetune.nano.stages.vision import Sight, VisionBatches, VisionStage
from finetune.nano.stages.vocoder import VocoderStage, match_level
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.omni import OmniForCausalLM
from omni.model.vocoder.hift import HiFTVocoder
from omni.model.vocoder.source import F0Predictor

SEED = 11
VISION_BATCH = 32  # pictures
VISION_CHECKS = 10  # batches of the validation side, all this often:
VISION_CHECK_EVERY = 250  # steps
LEVEL_UTTERANCES = 64  # by which the finished vocoder's level is set
LANGUAGE_BATCH = 24  # examples
REFRESH_STEPS = 100  # after which new shards of the bank are looked for


class Training:
    """The models under training, each stage from the checkpoints of those before."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.device = torch.device(plan.device)

    def run(self, stage: Stage) -> bool:
        """Run one stage; whether it is finished."""
        runs: Mapping[Stage, Callable[[], bool]] = {
            "features": self.features,
            "pitch": self.pitch,
            "vocoder": self.vocoder,
            "tokenizer": self.tokenizer,
            "ears": self.ears,
            "decoder": self.decoder,
            "flow": self.flow,
            "vision": self.vision,
            "decoded": self.decoded,
            "pitch_decoded": self.pitch_decoded,
            "vocoder_decoded": self.vocoder_decoded,
            "examples": self.examples,
            "language": self.language,
            "write": self.write,
        }
        return runs[stage]()

    def features(self) -> bool:
        """Synthesize the utterances of the stages of sound."""
        plan = self.plan
        store.fill(
            plan.folder / "features",
            plan.utterances,
            nano_config().audio,
            width=plan.width,
            workers=plan.workers,
        )
        return True

    def pitch(self) -> bool:
        """The vocoder's pitch predictor."""
        predictor = self._vocoder().to(self.device).f0_predictor
        if self.plan.start:
            unfold_scales(predictor)
        stage = PitchStage(predictor, self._store(), self.device)
        return self._train("pitch", stage.predictor, stage.losses)

    def vocoder(self) -> bool:
        """The vocoder, with the pitch predictor of the stage before."""
        vocoder = self._vocoder().to(self.device)
        self._restore_pitch(vocoder, "pitch")
        stage = VocoderStage(vocoder, self._store(), self.device)
        return self._train("vocoder", vocoder, stage.losses)

    def tokenizer(self) -> bool:
        """Encoder, quantizer, decoder and prenet."""
        audio = self._model().audio_tokenizer.to(self.device)
        audio.audio_flow_matching_decoder.conditional_decoder.requires_grad_(False)
        fresh = not self.plan.start
        stage = TokenizerStage(audio, self._store(), self.device, fresh=fresh)
        if fresh:
            stage.start_at_mean()
        return self._train("tokenizer", audio, stage.losses, stage.readers)

    def ears(self) -> bool:
        """The encoder once more, in front of frozen codebooks: natural speech.

        Without features of the natural corpus there is nothing to learn.
        """
        folder = self.plan.folder / "natural"
        if not folder.exists():
            logging.info("no natural speech in %s", folder)
            return True
        audio = self._model().audio_tokenizer.to(self.device)
        self._restore(audio, "tokenizer")
        stage = EarsStage(audio, self._store(), UtteranceStore(folder), self.device)
        stage.freeze_codes()
        return self._train("ears", audio, stage.losses, stage.readers)

    def decoder(self) -> bool:
        """The audio decoder and the prenet, on frozen codes, with a pitch predictor beside them."""
        audio = self._model().audio_tokenizer.to(self.device)
        self._restore(audio, "tokenizer")
        predictor = self._learning_pitch("pitch")
        stage = DecoderStage(audio, predictor, self._store(), self.device)
        stage.freeze_codes()
        return self._train("decoder", audio, stage.losses, predictor)

    def flow(self) -> bool:
        """The flow's estimator, on the frozen tokenizer."""
        model = self._model()
        audio = self._tokenizer(model).to(self.device)
        estimator = audio.audio_flow_matching_decoder.conditional_decoder
        if not self.plan.start:
            start_estimator(estimator)
        stage = FlowStage(audio, model.config.flow, self._store(), self.device)
        return self._train("flow", estimator, stage.losses)

    def vision(self) -> bool:
        """The vision tower and the bridge, by what their rows should know."""
        model, plan, options = self._model(), self.plan, self.plan.loop("vision")
        stage = VisionStage(model, self.device, fresh=not plan.start)
        parameters = list(stage.sight.parameters())
        loop = Loop(stage.sight, parameters, plan.folder / "vision", options, stage.heads)
        train = VisionBatches(model.config, options.steps, VISION_BATCH, plan.width)
        batches = train.loaded(range(loop.step, options.steps), plan.workers)
        checks = VisionBatches(model.config, VISION_CHECKS, VISION_BATCH, plan.width, "validation")
        checked = list(checks.loaded(range(VISION_CHECKS), plan.workers))

        def losses(step: int) -> Losses:
            if step % VISION_CHECK_EVERY == 0:
                logging.info("vision step %d, right: %s", step, stage.check(checked))
            return stage.losses(next(batches))

        loop.run(losses)
        logging.info("vision step %d, right: %s", loop.step, stage.check(checked))
        return loop.finished

    def decoded(self) -> bool:
        """Decode the utterances from their codes: what the vocoder will be given."""
        audio = self._tokenizer(self._model()).eval()
        self._restore(audio.audio_flow_matching_decoder.conditional_decoder, "flow")
        heard = (mel.float().T for mel in self._store().heard)
        store.write_decoded((audio.decode(audio.encode([x])[0])[0][0] for x in heard), self._kept)
        return True

    def pitch_decoded(self) -> bool:
        """The pitch predictor once more, on decoded mels."""
        predictor = self._learning_pitch("pitch")
        self._restore(predictor, "decoder", "helper")
        stage = PitchStage(predictor, self._decoded_store(), self.device)
        return self._train("pitch_decoded", stage.predictor, stage.losses)

    def vocoder_decoded(self) -> bool:
        """The vocoder once more, from decoded mels to the true waveform."""
        vocoder = self._vocoder().to(self.device)
        self._restore(vocoder, "vocoder")
        self._restore_pitch(vocoder, "pitch_decoded")
        stage = VocoderStage(vocoder, self._decoded_store(), self.device)
        return self._train("vocoder_decoded", vocoder, stage.losses)

    def examples(self) -> bool:
        """Write the conversations of the language stage, on the frozen tokenizer."""
        plan = self.plan
        audio, voice = (self._model().audio_tokenizer.eval() for _ in range(2))
        for tokenizer in (audio, voice):
            self._restore(tokenizer, "tokenizer")
        self._restore_ears(audio)  # the decoder has learnt from the codes without them
        bank.fill(
            plan.folder / "bank",
            plan.examples,
            audio,
            plan.width,
            plan.workers,
            plan.first_example,
            plan.tasks,
            voice,
        )
        return True

    def language(self) -> bool:
        """The language model and the audio head, on the frozen tokenizer and vision tower."""
        model = self._model()
        self._restore(model.audio_tokenizer, "tokenizer")
        self._restore_ears(model.audio_tokenizer)
        self._restore(Sight(model.model), "vision")
        model.to(self.device)  # type: ignore[arg-type]
        stage = LanguageStage(model, self.device)
        data = bank.Bank(self.plan.folder / "bank")

        def losses(step: int) -> Losses:
            if step % REFRESH_STEPS == 0:
                data.refresh()
            batch = data.batch(step, LANGUAGE_BATCH)
            return stage.losses(collate(batch, model.config, np.random.default_rng(step)))

        options = self.plan.loop("language")
        loop = Loop(model, stage.parameters(), self.plan.folder / "language", options)
        loop.run(losses)
        return loop.finished

    def write(self) -> bool:
        """Put the stages together and write the checkpoint.

        With ``start`` those that were not trained yet are left out: a look at unfinished work.
        """
        model, vocoder = self._model(), self._vocoder()
        self._restore(Sight(model.model), "vision")
        self._restore(model, "language")
        self._restore_ears(self._tokenizer(model))
        estimator = model.audio_tokenizer.audio_flow_matching_decoder.conditional_decoder
        self._restore(estimator, "flow")
        self._restore(vocoder, "vocoder")
        self._restore(vocoder, "vocoder_decoded")
        if self._kept.exists():
            store = self._decoded_store()
            some = range(min(LEVEL_UTTERANCES, len(store)))
            gain = match_level(vocoder, ((store.mel(n), store.wave(n)) for n in some))
            logging.info("the vocoder's level times %.2f", gain)
        write_checkpoint(model, vocoder, self.plan.target)
        return True

    def _model(self) -> OmniForCausalLM:
        model = fresh_model(SEED)
        if self.plan.start:
            load_checkpoint(self.plan.start, model)
        return model

    def _tokenizer(self, model: OmniForCausalLM) -> AudioTokenizer:
        """The model's, as its stages left it, but for the ears."""
        audio = model.audio_tokenizer
        self._restore(audio, "tokenizer")
        self._restore(audio, "decoder")
        return audio

    def _vocoder(self) -> HiFTVocoder:
        vocoder = fresh_vocoder(SEED)
        if self.plan.start:
            load_checkpoint(self.plan.start, vocoder=vocoder)
        return vocoder

    @property
    def _kept(self) -> Path:
        return self.plan.folder / "decoded.safetensors"

    def _decoded_store(self) -> DecodedStore:
        return DecodedStore(self.plan.folder / "features", self._kept)

    def _store(self) -> UtteranceStore:
        return UtteranceStore(self.plan.folder / "features")

    def _train(
        self,
        stage: Stage,
        module: nn.Module,
        losses: Callable[[int], object],
        helper: nn.Module | None = None,
    ) -> bool:
        parameters = [p for p in module.parameters() if p.requires_grad]
        folder, options = self.plan.folder / stage, self.plan.loop(stage)
        loop = Loop(module, parameters, folder, options, helper)
        loop.run(losses)  # type: ignore[arg-type]
        return loop.finished

    def _learning_pitch(self, stage: Stage) -> F0Predictor:
        """The pitch predictor of a stage, to be trained further."""
        predictor = self._vocoder().to(self.device).f0_predictor
        if not self._restore(predictor, stage):
            unfold_scales(predictor)
        return predictor

    def _restore_pitch(self, vocoder: HiFTVocoder, stage: Stage) -> None:
        """The pitch predictor of a stage, finished and left as it is."""
        if self._restore(vocoder.f0_predictor, stage):
            fold_scales(vocoder.f0_predictor)  # those of a checkpoint are folded
        vocoder.f0_predictor.requires_grad_(False)

    def _restore_ears(self, audio: AudioTokenizer) -> None:
        """What is in front of the codes, where it has heard natural speech."""
        path = self.plan.folder / "ears" / "last.pt"
        if not path.exists():
            return
        learnt = torch.load(path, map_location=self.device, weights_only=True)["module"]
        for name in EARS:
            parts = {
                key.removeprefix(f"{name}."): weight
                for key, weight in learnt.items()
                if key.startswith(f"{name}.")
            }
            audio.get_submodule(name).load_state_dict(parts)

    def _restore(self, module: nn.Module, stage: Stage, part: str = "module") -> bool:
        """Whether the stage was trained in this run; else the weights are the checkpoint's.

        ``part``: "module", or "helper" for what learnt beside it.
        """
        path = self.plan.folder / stage / "last.pt"
        if not path.exists() and self.plan.start:
            return False
        if not path.exists():
            raise FileNotFoundError(f"stage {stage} was not trained yet: {path} is missing")
        state = torch.load(path, map_location=self.device, weights_only=True)
        module.load_state_dict(state[part])
        return True


def main() -> None:
    """See the module."""
    given = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = Plan(
        given.out,
        given.utterances,
        given.examples,
        given.width,
        given.device,
        given.workers,
        given.share,
        given.rate,
        given.minutes * 60,
        given.target,
        given.start,
        given.first_example,
        tuple(given.tasks),
    )
    training = Training(plan)
    for stage in given.stages:
        logging.info("stage %s", stage)
        if not training.run(stage):
            logging.info("stage %s goes on next time", stage)
            return


if __name__ == "__main__":
    main()
