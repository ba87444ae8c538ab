// Plays the voice of an answer while it is being made: samples from a streamed response of the
// server (demos/playback/voice_line.py), put on the audio clock one piece behind the other. It is
// silenced at once, without asking the server.
const omniSpeech = (() => {
  const RATE = 24000;
  const LEAD_S = 0.03; // from the clock to the first sample, so that it is not late
  const START_MS = 500; // for the browser to begin a context, which it may refuse for ever
  /**
   * @typedef {object} Voice
   * @property {string} tab
   * @property {AbortController} abort
   * @property {Set<AudioBufferSourceNode>} sources that still sound
   * @property {number} end of what was scheduled, on the audio clock (s)
   * @property {boolean} over whether everything has come
   */
  /** @type {AudioContext | null} */
  let context = null;
  /** @type {GainNode | null} */
  let gain = null;
  /** @type {Voice | null} */
  let voice = null; // the one that speaks: one at a time, whatever the tab

  /**
   * @param {string} tab
   * @param {"playing" | "paused" | "off"} state
   */
  const show = (tab, state) => {
    const line = omniPage.part(tab, "voice");
    if (line) line.dataset.state = state;
  };

  const running = async () => {
    if (!window.AudioContext || !window.ReadableStream) return false;
    if (!context) {
      context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      gain = omniVolume.output(context);
    }
    const wait = new Promise((resolve) => setTimeout(resolve, START_MS));
    await Promise.race([context.resume(), wait]);
    return context.state === "running";
  };

  const hush = () => {
    if (!voice) return;
    const { tab, abort, sources } = voice;
    voice = null;
    abort.abort();
    for (const source of sources) source.stop();
    show(tab, "off");
    omniSounding.over(omniSpeech);
  };

  /**
   * @param {Voice} mine
   * @param {Int16Array} samples
   */
  const play = (mine, samples) => {
    if (!context || !gain) return;
    const buffer = context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(
      Float32Array.from(samples, (sample) => sample / 32768),
      0,
    );
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(gain);
    mine.sources.add(source);
    source.onended = () => {
      mine.sources.delete(source);
      settle(mine);
    };
    const soon = context.currentTime + LEAD_S;
    // A piece that comes in time begins at the very sample at which the one before it ends.
    const start = mine.end > context.currentTime ? mine.end : soon;
    source.start(start);
    mine.end = start + samples.length / RATE;
    if (context.state === "running") show(mine.tab, "playing");
    omniSounding.begin(omniSpeech, () => omniSpeech.silence(mine.tab));
  };

  /** @param {Voice} mine */
  const settle = (mine) => {
    if (mine !== voice || mine.sources.size) return;
    show(mine.tab, "off");
    omniSounding.over(omniSpeech);
    if (mine.over) voice = null;
  };

  /**
   * Play a response as it comes. Its pieces end anywhere, also inside a sample.
   * @param {Voice} mine
   * @param {ReadableStream<Uint8Array>} body
   * @param {() => void} confirm called when the first piece is there
   */
  const read = async (mine, body, confirm) => {
    const reader = body.getReader();
    let rest = new Uint8Array(0);
    let first = true;
    for (;;) {
      const { value, done } = await reader.read();
      if (done || mine !== voice) return;
      if (first) confirm();
      const bytes = new Uint8Array(rest.length + value.length);
      bytes.set(rest);
      bytes.set(value, rest.length);
      const whole = bytes.length - (bytes.length % 2);
      rest = bytes.slice(whole);
      // the first sample only says that the stream is there
      const samples = new Int16Array(bytes.buffer, 0, whole / 2).subarray(first ? 1 : 0);
      first = first && !whole;
      if (samples.length) play(mine, samples);
    }
  };

  return {
    /** @param {string} tab */
    silence(tab) {
      omniGradioPlayer.silence(tab);
      if (voice?.tab === tab) hush();
    },
    /**
     * Called by whatever begins a turn; says at `place` of the values whether the page can play.
     * @param {string} tab
     * @param {unknown[]} values
     * @param {number} place
     * @param {string} able
     */
    async listen(tab, values, place, able) {
      omniGradioPlayer.allow(tab);
      values[place] = (await running()) ? able : "";
      return values;
    },
    /**
     * Called when a turn has begun: with the ticket of its line, or "" if it has none.
     * @param {string} tab
     * @param {string} ticket
     */
    async connect(tab, ticket) {
      if (ticket || voice?.tab === tab) hush();
      if (!ticket || omniGradioPlayer.silenced(tab)) return;
      /** @type {Voice} */
      const mine = { tab, abort: new AbortController(), sources: new Set(), end: 0, over: false };
      voice = mine;
      const address = omniGradio.address("/voice");
      /** @type {RequestInit} */
      const request = {
        headers: { "x-omni-ticket": ticket },
        signal: mine.abort.signal,
        cache: "no-store",
      };
      const confirm = () => {
        fetch(address, { ...request, method: "POST" }).catch(() => {});
      };
      try {
        const { status, body } = await fetch(address, request);
        if (status === 200 && body) await read(mine, body, confirm); // 204: it was over before
      } catch (error) {
        const ended = error instanceof DOMException && error.name === "AbortError";
        if (!ended) console.warn("the voice was cut off:", error);
      }
      mine.over = true;
      settle(mine);
    },
    async pause() {
      await context?.suspend();
      if (voice) show(voice.tab, "paused");
    },
    async resume() {
      await context?.resume();
      if (voice) show(voice.tab, voice.sources.size ? "playing" : "off");
    },
  };
})();
