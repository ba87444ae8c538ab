// Plays the voice of an answer while it is being made: samples from a streamed response of the
// server (demos/playback/voice_line.py), put on the audio clock one piece behind the other. Gradio's player
// (.speech-player) is there for browsers and networks that cannot have this. Both are silenced at
// once, without asking the server: sound that is still on its way must not start after Stop.
window.omniSpeech = (() => {
  const RATE = 24000;
  const LEAD_S = 0.03; // from the clock to the first sample, so that it is not late
  const START_MS = 500; // for the browser to begin a context, which it may refuse for ever
  const silent = new Set(); // tabs that were told to be silent
  const KEPT = "omni.volume";
  const BLOCKED_MS = 800; // a player that is ready starts within this
  const gains = new Set(); // the last node of every sound of the page
  let context = null;
  let gain = null;
  let voice = null; // the one that speaks: one at a time, whatever the tab

  const show = (tab, state) => {
    const line = document.getElementById(`${tab}-voice`);
    if (line) line.dataset.state = state;
  };

  // Loudness and mute hold for all that speaks, in the chats and in Live, and are kept.
  let level = { volume: 1, muted: false };
  try {
    level = { ...level, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
  } catch {
    // a browser that keeps nothing, or something else under this name
  }
  const apply = (element) => {
    element.volume = level.volume;
    element.muted = level.muted;
  };
  const loudness = () => (level.muted ? 0 : level.volume);
  const output = (context) => {
    for (const other of gains) if (other.context.state === "closed") gains.delete(other);
    const node = new GainNode(context, { gain: loudness() });
    node.connect(context.destination);
    gains.add(node);
    return node;
  };
  const reflect = () => {
    document.querySelectorAll(".volume input").forEach((slider) => {
      slider.value = level.muted ? 0 : level.volume;
    });
    document.querySelectorAll("button.mute").forEach((button) => {
      button.setAttribute("aria-pressed", level.muted);
    });
  };
  const set = (change) => {
    level = { ...level, ...change };
    for (const node of gains) node.gain.value = loudness();
    document.querySelectorAll(".speech-player audio").forEach(apply);
    reflect();
    try {
      localStorage.setItem(KEPT, JSON.stringify(level));
    } catch {
      // it holds until the page is closed
    }
  };
  document.addEventListener("input", ({ target }) => {
    if (target.closest?.(".volume")) set({ volume: Number(target.value), muted: false });
  });
  // The players in the bubbles have no such controls, and their events do not leave them.
  const start = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    if ((this.getRootNode().host ?? this).closest?.(".talk")) apply(this);
    return start.call(this);
  };

  const running = async () => {
    if (!window.AudioContext || !window.ReadableStream) return false;
    if (!context) {
      context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      gain = output(context);
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
  };

  const play = (mine, samples) => {
    const buffer = context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
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
  };
  const settle = (mine) => {
    if (mine !== voice || mine.sources.size) return;
    show(mine.tab, "off");
    if (mine.over) voice = null;
  };
  // Pieces of a response end anywhere, also inside a sample.
  const read = async (mine, response, confirm) => {
    const reader = response.body.getReader();
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

  const pause = (element) => {
    if (!element.paused) element.pause();
  };
  const tabOf = (element) => element.closest?.(".speech-player")?.id.replace(/-player$/, "");
  const on = (name, act) => {
    // Media events do not bubble, but they can be captured.
    const hear = ({ target }) => {
      const tab = tabOf(target);
      if (tab) act(target, tab);
    };
    document.addEventListener(name, hear, true);
  };
  on("loadstart", apply);
  on("volumechange", ({ volume, muted }) => {
    if (volume !== level.volume || muted !== level.muted) set({ volume, muted });
  });
  // Gradio's player, where the browser's rules keep it from starting, gets a sentence about them.
  const blocked = (tab, shown) => {
    const note = document.getElementById(`${tab}-blocked`);
    note?.setAttribute("role", "alert");
    if (note) note.dataset.shown = shown;
  };
  on("canplay", (element, tab) => {
    setTimeout(() => {
      const waits = element.paused && !element.ended && element.currentTime === 0;
      if (waits && element.autoplay && element.isConnected && !silent.has(tab)) blocked(tab, true);
    }, BLOCKED_MS);
  });
  on("play", (element, tab) => {
    if (silent.has(tab)) pause(element);
    else blocked(tab, false);
  });
  // A person who presses play in a silenced player wants to hear it.
  for (const gesture of ["pointerdown", "keydown"]) {
    document.addEventListener(gesture, (event) => silent.delete(tabOf(event.target)), true);
  }
  return {
    reflect,
    output, // what is connected to it is as loud as the person wants
    mute() {
      set({ muted: !level.muted });
    },
    silence(tab) {
      silent.add(tab);
      blocked(tab, false);
      document.querySelectorAll(`#${tab}-player audio`).forEach(pause);
      if (voice?.tab === tab) hush();
    },
    // Called by whatever begins a turn; says at `place` of the values whether the page can play.
    async listen(tab, values, place, able) {
      silent.delete(tab);
      blocked(tab, false);
      values[place] = (await running()) ? able : "";
      return values;
    },
    // Called when a turn has begun: with the ticket of its line, or "" if it has none.
    async connect(tab, ticket) {
      if (ticket || voice?.tab === tab) hush();
      if (!ticket || silent.has(tab)) return;
      const mine = { tab, abort: new AbortController(), sources: new Set(), end: 0, over: false };
      voice = mine;
      // Below the path that the app is served under; the host is the page's own, whatever a proxy
      // lets the server believe.
      const path = new URL(window.gradio_config?.root ?? "/", location.href).pathname.replace(/\/$/, "");
      const address = `${path}/voice`;
      const request = { headers: { "x-omni-ticket": ticket }, signal: mine.abort.signal, cache: "no-store" };
      const confirm = () => fetch(address, { ...request, method: "POST" }).catch(() => {});
      try {
        const response = await fetch(address, request);
        if (response.status === 200) await read(mine, response, confirm); // 204: it was over before
      } catch (error) {
        if (error.name !== "AbortError") console.warn("the voice was cut off:", error);
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
