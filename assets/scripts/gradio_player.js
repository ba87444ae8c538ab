// Gradio's player (.speech-player), which speaks in browsers and networks that cannot have ours
// (speech.js). It is silenced at once, without asking the server: sound that is still on its way
// must not start after Stop.
const omniGradioPlayer = (() => {
  const BLOCKED_MS = 800; // a player that is ready starts within this
  /** @type {Set<string>} */
  const silent = new Set(); // tabs that were told to be silent

  /** @param {EventTarget | null} target */
  const tabOf = (target) =>
    target instanceof Element
      ? (target.closest(".speech-player")?.id.replace(/-player$/, "") ?? "")
      : "";
  /** @param {HTMLMediaElement} element */
  const pause = (element) => {
    if (!element.paused) element.pause();
  };

  /**
   * Where the browser's rules keep the player from starting, a sentence tells about them.
   * @param {string} tab
   * @param {boolean} shown
   */
  const blocked = (tab, shown) => {
    const note = omniPage.part(tab, "blocked");
    note?.setAttribute("role", "alert");
    if (note) note.dataset.shown = String(shown);
  };

  /**
   * @param {string} name
   * @param {(element: HTMLMediaElement, tab: string) => void} act
   */
  const on = (name, act) => {
    // Media events do not bubble, but they can be captured.
    /** @param {Event} event */
    const hear = ({ target }) => {
      const tab = tabOf(target);
      if (tab && target instanceof HTMLMediaElement) act(target, tab);
    };
    document.addEventListener(name, hear, true);
  };
  on("loadstart", omniVolume.apply);
  on("volumechange", omniVolume.follow);
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
    /** @param {string} tab */
    silence(tab) {
      silent.add(tab);
      blocked(tab, false);
      /** @type {NodeListOf<HTMLMediaElement>} */
      const players = document.querySelectorAll(`#${tab}-player ${omniGradio.SELECTORS.player}`);
      players.forEach(pause);
    },
    /** @param {string} tab */
    allow(tab) {
      silent.delete(tab);
      blocked(tab, false);
    },
    /** @param {string} tab */
    silenced: (tab) => silent.has(tab),
  };
})();
