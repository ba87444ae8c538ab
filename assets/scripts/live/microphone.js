// What the microphone hears, in pieces of int16 samples with their level.
const omniLiveMicrophone = (() => {
  const RATE = 16000; // if the browser can; otherwise the server resamples
  const LOUD = 0.02; // level of full scale from which the log says that there is sound ...
  const LOUD_PIECES = 10; // ... and for how many quiet pieces it is the same sound
  /**
   * @typedef {object} Microphone
   * @property {AudioContext} context
   * @property {AudioWorkletNode} node
   * @property {MediaStreamAudioSourceNode} source
   * @property {number} loud quiet pieces until a new sound
   */
  /** @typedef {{samples: Int16Array<ArrayBuffer>, level: number}} Piece */

  /**
   * @param {MediaStream} stream
   * @param {number | null} rate
   * @returns {Promise<Microphone>}
   */
  const open = async (stream, rate = RATE) => {
    const context = await omniLiveSound.open(rate);
    try {
      const source = context.createMediaStreamSource(stream);
      const node = new AudioWorkletNode(context, "omni-capture", { numberOfOutputs: 0 });
      source.connect(node);
      return { context, node, source, loud: 0 };
    } catch (error) {
      await context.close();
      if (!rate) throw error;
      return open(stream, null); // a browser that does not resample
    }
  };

  /**
   * Hear another device from now on.
   * @param {Microphone} microphone
   * @param {MediaStream} stream
   */
  const change = (microphone, stream) => {
    const source = microphone.context.createMediaStreamSource(stream);
    microphone.source.disconnect();
    source.connect(microphone.node);
    microphone.source = source;
  };

  /**
   * Write into the log when sounds begin and end.
   * @param {string} tab
   * @param {Microphone} microphone
   * @param {Piece} piece
   */
  const follow = (tab, microphone, { samples, level }) => {
    const rate = microphone.context.sampleRate;
    if (level > LOUD && !microphone.loud) {
      // Not when the piece was complete, but when the sound in it began.
      const quiet = samples.findIndex((sample) => Math.abs(sample) > LOUD * 32768);
      const ago = (samples.length - quiet) / rate;
      omniLiveLog.note(tab, "loud", {}, performance.now() - 1000 * ago);
    }
    if (level <= LOUD && microphone.loud === 1) {
      const ago = (LOUD_PIECES * samples.length) / rate;
      omniLiveLog.note(tab, "quiet", {}, performance.now() - 1000 * ago);
    }
    microphone.loud = level > LOUD ? LOUD_PIECES : Math.max(0, microphone.loud - 1);
  };

  /**
   * Hand over what is heard from now on.
   * @param {string} tab
   * @param {Microphone} microphone
   * @param {(samples: ArrayBuffer) => void} give
   */
  const listen = (tab, microphone, give) => {
    /** @param {MessageEvent<Piece>} message */
    microphone.node.port.onmessage = ({ data }) => {
      omniLiveStage.meter(data.level);
      follow(tab, microphone, data);
      give(data.samples.buffer);
    };
  };

  return { open, change, listen };
})();
