// Plays the answers of Live, and tells what was really heard of them.
const omniLivePlayer = (() => {
  const RATE = 24000; // of the speech
  const LOUD = 0.25; // root mean square of full scale that counts as 1 for the eyes
  /** @typedef {{context: AudioContext, node: AudioWorkletNode, level: () => number}} Player */
  /** @typedef {{type: string, answer: number, samples?: number}} Report */

  /** @returns {Promise<Player>} */
  const open = async () => {
    const context = await omniLiveSound.open(RATE);
    const node = new AudioWorkletNode(context, "omni-playback", { outputChannelCount: [1] });
    node.connect(omniVolume.output(context));
    await omniLiveChoices.speak(context);
    return { context, node, level: meter(context, node) };
  };

  /**
   * How loud the answer is now, in [0, 1].
   * @param {AudioContext} context
   * @param {AudioWorkletNode} node
   */
  const meter = (context, node) => {
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    node.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    return () => {
      analyser.getFloatTimeDomainData(samples);
      const energy = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      return Math.min(1, Math.sqrt(Math.sqrt(energy) / LOUD));
    };
  };

  /**
   * @param {Player} player
   * @param {number} answer
   * @param {ArrayBuffer} sound int16
   */
  const play = (player, answer, sound) => {
    const samples = new Int16Array(sound);
    player.node.port.postMessage({ answer, samples }, [samples.buffer]);
  };

  /**
   * Be silent at once (flush), or know that an answer is complete (sent).
   * @param {Player} player
   * @param {Report} message
   */
  const tell = (player, message) => player.node.port.postMessage(message);

  /**
   * @param {string} tab
   * @param {Player} player
   * @param {(report: Report) => void} give
   */
  const report = (tab, player, give) => {
    /** @param {MessageEvent<Report>} message */
    player.node.port.onmessage = ({ data }) => {
      if (data.type === "played") omniLiveCaptions.played(data.answer, data.samples ?? 0);
      else omniLiveLog.note(tab, data.type, data);
      if (data.type !== "began") give(data);
    };
  };

  return { open, play, tell, report };
})();
