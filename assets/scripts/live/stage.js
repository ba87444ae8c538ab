// The voice mode of Talk: a dialog over the whole page with the orb, the state in words, captions,
// the camera's picture and a few buttons. It can be made small: Talk goes on, the chat is seen, and
// a mark in the page's head (mark.js) goes back to it.
const omniLiveStage = (() => {
  /** @param {string} act @param {string} name the key of its words */
  const icon = (act, name) =>
    `<button type="button" class="talk-icon" data-act="${act}" data-name="${name}"></button>`;
  const MARKUP = `
    <div class="talk-top">
      ${icon("small", "talk-small")}<h2 class="talk-title" data-word="talk-title"></h2>
      ${icon("settings", "talk-settings")}
    </div>
    <div class="talk-middle">
      <div class="talk-view"><video muted playsinline data-name="talk-picture"></video></div>
      <canvas class="talk-orb" aria-hidden="true"></canvas>
      <p class="talk-state" role="status"></p>
      <p class="talk-note" role="status"></p>
      <div class="talk-captions" role="log" aria-live="off" tabindex="0" data-name="talk-captions"></div>
      <p class="talk-hint"></p>
    </div>
    <div class="talk-bar">
      ${icon("mute", "talk-mute")}${icon("camera", "talk-camera-off")}${icon("flip", "talk-flip")}
      <button type="button" class="talk-start" data-act="again"></button>
      <button type="button" class="talk-close" data-act="end" data-word="talk-close"></button>
      ${icon("end", "talk-end")}
    </div>`;
  const FOCUSABLE = "button, select, input, [tabindex='0']";

  /** @type {HTMLElement | null} */
  let root = null;
  let tab = "";
  /** @type {Element | null} */
  let before = null; // what had the focus
  /** @type {(act: string) => void} */
  let act = () => {};

  /** @template {HTMLElement} T @param {string} selector @returns {T} */
  const part = (selector) => {
    /** @type {T | null | undefined} */
    const found = root?.querySelector(selector);
    return found ?? /** @type {any} */ (document.createElement("video")); // it is not open
  };

  /** Say all that is written on it in the page's language. */
  const label = () => {
    if (!root) return;
    root.setAttribute("aria-label", omniWords.say("talk-title"));
    /** @type {NodeListOf<HTMLElement>} */
    const named = root.querySelectorAll("[data-word], [data-name]");
    for (const one of named) {
      const { word, name } = one.dataset;
      if (word) one.textContent = omniWords.say(word);
      if (!name) continue;
      one.setAttribute("aria-label", omniWords.say(name));
      if (one.matches("button")) one.title = omniWords.say(name);
    }
    const hint = root.dataset.camera === "on" ? "talk-hint-camera" : "talk-hint";
    part(".talk-hint").textContent = omniWords.say(hint);
    const trying = root.dataset.state === "try";
    part(".talk-start").textContent = omniWords.say(trying ? "talk-start" : "talk-again");
  };

  const shown = () => root !== null && !root.hidden;
  /** @param {boolean} on */
  const cover = (on) => {
    for (const one of document.body.children) {
      if (one !== root && one instanceof HTMLElement && !one.matches("script, style"))
        one.inert = on;
    }
    document.body.classList.toggle("talk-open", on);
  };

  const restore = () => {
    if (!root || shown()) return;
    before = document.activeElement;
    root.hidden = false;
    cover(true);
    omniLiveOrb.show(part("canvas"));
    root.focus();
  };

  const minimize = () => {
    if (!root || !shown()) return;
    root.hidden = true;
    cover(false);
    omniLiveOrb.hide();
    const place = before instanceof HTMLElement && before.checkVisibility() ? before : null;
    (place && place !== document.body ? place : omniPage.part(tab, "live-start"))?.focus();
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (!shown() || !root) return;
    if (event.key === "Escape" && !event.isComposing) {
      event.preventDefault();
      event.stopPropagation();
      const tries = root.dataset.state === "try"; // that is nothing but settings
      if (omniLiveSettings.isOpen() && !tries) omniLiveSettings.close();
      else act("end");
    } else if (event.key === "Tab") {
      /** @type {NodeListOf<HTMLElement>} */
      const all = root.querySelectorAll(FOCUSABLE);
      const stops = [...all].filter((one) => one.checkVisibility());
      const [first, last] = [stops[0], stops.at(-1)];
      const outside = !root.contains(document.activeElement) || document.activeElement === root;
      const leaves = document.activeElement === (event.shiftKey ? first : last);
      if (!leaves && !outside) return;
      event.preventDefault();
      (event.shiftKey ? last : first)?.focus();
    } else if (!event.altKey && !event.ctrlKey && !event.metaKey) {
      event.stopPropagation(); // the page's own keys wait
    }
  };

  /**
   * @param {string} ofTab
   * @param {boolean} camera whether it sees
   * @param {(act: string) => void} acts what its buttons do
   */
  const open = (ofTab, camera, acts) => {
    act = acts;
    if (!root) {
      root = document.createElement("div");
      root.id = "talk";
      root.className = "talk-stage";
      root.tabIndex = -1;
      root.hidden = true;
      root.setAttribute("role", "dialog");
      root.setAttribute("aria-modal", "true");
      root.innerHTML = MARKUP;
      root.addEventListener("click", ({ target }) => {
        const button = target instanceof Element ? target.closest("[data-act]") : null;
        if (button instanceof HTMLElement) act(button.dataset.act ?? "");
      });
      document.body.append(root);
      new MutationObserver(label).observe(document.documentElement, { attributeFilter: ["lang"] });
    }
    tab = ofTab;
    root.dataset.camera = camera ? "on" : "";
    note("");
    restore();
  };

  const close = () => {
    if (!root) return;
    omniLiveSettings.close();
    minimize();
    root.dataset.state = "off";
    omniLiveCaptions.clear();
    omniLiveMark.show("");
  };

  /**
   * @param {string} state
   * @param {string} text
   */
  const show = (state, text) => {
    if (!root) return;
    root.dataset.state = state;
    part(".talk-state").textContent = text;
    omniLiveOrb.be(state === "try" ? "listening" : state);
    omniLiveLog.note(tab, "state", { state });
    omniLiveMark.show(state === "off" || state === "try" ? "" : state);
    label();
  };

  /** It has ended, or not begun, for a reason that is to be read. @param {string} text */
  const fail = (text) => {
    show("off", text);
    restore();
  };

  /** @param {string} text */
  const note = (text) => {
    part(".talk-note").textContent = text;
  };

  /** @param {number} level of the microphone, of full scale */
  const meter = (level) => {
    const decibels = 20 * Math.log10(level + 1e-6);
    const share = Math.max(0, Math.min(1, (decibels + 60) / 54));
    omniLiveOrb.hear(share);
    omniLiveSettings.meter(share);
  };

  /** @param {boolean} muted */
  const mute = (muted) => {
    if (!root) return;
    root.dataset.muted = muted ? "on" : "";
    const button = part('[data-act="mute"]');
    button.dataset.name = muted ? "talk-unmute" : "talk-mute";
    button.setAttribute("aria-pressed", String(muted));
    note(muted ? omniWords.say("talk-muted") : "");
    label();
  };

  /** @param {"on" | "off"} camera */
  const see = (camera) => {
    if (!root) return;
    root.dataset.camera = camera;
    part('[data-act="camera"]').dataset.name =
      camera === "on" ? "talk-camera-off" : "talk-camera-on";
    label();
  };

  document.addEventListener("keydown", onKey, true);
  return {
    open,
    close,
    restore,
    minimize,
    shown,
    show,
    fail,
    note,
    meter,
    mute,
    see,
    get tab() {
      return tab;
    },
    state: () => root?.dataset.state ?? "off",
    root: () => root,
    captions: () => part(".talk-captions"),
    /** @returns {HTMLVideoElement} */
    video: () => part("video"),
  };
})();
