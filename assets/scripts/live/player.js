// Plays the answers of Live, and tells what was really heard of them.
const omniLivePlayer = (() => {
  const RATE = 24000; // of the speech
  /** @typedef {{context: AudioContext, node: AudioWorkletNode}} Player */
  /** @typedef {{type: string, answer: number, samples?: number}} Report */

  /** @returns {Promise<Player>} */
  const open = async () => {
    const context = await omniLiveSound.open(RATE);
    const node = new AudioWorkletNode(context, "omni-playback", { outputChannelCount: [1] });
    node.connect(omniVolume.output(context));
    return { context, node };
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
      if (data.type !== "played") omniLiveLog.note(tab, data.type, data);
      if (data.type !== "began") give(data);
    };
  };

  return { open, play, tell, report };
})();
