// Loudness and mute: they hold for all that speaks, in the chats and in Live, and are kept.
const omniVolume = (() => {
  const KEPT = "omni.volume";
  /** @type {Set<GainNode>} */
  const gains = new Set(); // the last node of every sound of the page
  let level = { volume: 1, muted: false };
  try {
    level = { ...level, ...JSON.parse(omniPage.kept(KEPT) ?? "{}") };
  } catch {
    // something else is kept under this name
  }

  const loudness = () => (level.muted ? 0 : level.volume);
  /** @param {HTMLMediaElement} element */
  const apply = (element) => {
    element.volume = level.volume;
    element.muted = level.muted;
  };

  /**
   * What is connected to it is as loud as the person wants.
   * @param {AudioContext} context
   */
  const output = (context) => {
    for (const other of gains) if (other.context.state === "closed") gains.delete(other);
    const node = new GainNode(context, { gain: loudness() });
    node.connect(context.destination);
    gains.add(node);
    return node;
  };

  /** Show the level on the switches. */
  const reflect = () => {
    /** @type {NodeListOf<HTMLInputElement>} */
    const sliders = document.querySelectorAll(".volume input");
    for (const slider of sliders) slider.value = String(loudness());
    for (const button of document.querySelectorAll("button.mute")) {
      button.setAttribute("aria-pressed", String(level.muted));
    }
  };

  /** @param {Partial<typeof level>} change */
  const set = (change) => {
    level = { ...level, ...change };
    for (const node of gains) node.gain.value = loudness();
    /** @type {NodeListOf<HTMLMediaElement>} */
    const players = document.querySelectorAll(`.speech-player ${omniGradio.SELECTORS.player}`);
    players.forEach(apply);
    reflect();
    omniPage.keep(KEPT, JSON.stringify(level));
  };

  /**
   * A player's own volume was changed.
   * @param {HTMLMediaElement} player
   */
  const follow = ({ volume, muted }) => {
    if (volume !== level.volume || muted !== level.muted) set({ volume, muted });
  };

  document.addEventListener("input", ({ target }) => {
    if (target instanceof HTMLInputElement && target.closest(".volume")) {
      set({ volume: Number(target.value), muted: false });
    }
  });
  return { apply, follow, output, reflect, mute: () => set({ muted: !level.muted }) };
})();
