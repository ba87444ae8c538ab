// The Live panel of a tab (demos/live/panel.py lays it out): state, level, note, the camera's
// picture.
const omniLivePanel = (() => {
  /** @param {string} tab */
  const root = (tab) => {
    /** @type {HTMLElement | null | undefined} */
    const panel = omniPage.part(tab, "live")?.querySelector(".live");
    return panel ?? document.createElement("div"); // Gradio is redrawing it
  };

  /**
   * @param {string} tab
   * @param {string} state
   * @param {string} text
   */
  const show = (tab, state, text) => {
    root(tab).dataset.state = state;
    const label = root(tab).querySelector(".live-state");
    if (label) label.textContent = text;
    omniLiveLog.note(tab, "state", { state });
  };

  /** @param {string} tab */
  const off = (tab) => {
    root(tab).dataset.state = "off";
  };

  /**
   * @param {string} tab
   * @param {number} level of full scale
   */
  const meter = (tab, level) => {
    const decibels = 20 * Math.log10(level + 1e-6);
    const share = Math.max(0, Math.min(1, (decibels + 60) / 54));
    /** @type {HTMLElement | null} */
    const bar = root(tab).querySelector(".live-level");
    bar?.style.setProperty("--level", share.toFixed(3));
  };

  /**
   * @param {string} tab
   * @param {string} text
   */
  const note = (tab, text) => {
    const line = root(tab).querySelector(".live-note");
    if (line) line.textContent = text;
  };

  /** @param {string} tab */
  const video = (tab) => root(tab).querySelector("video") ?? document.createElement("video");

  // Whether a turn is running. The page knows it itself and says it in the panel's own line: the
  // server's word would come behind all that it still has to tell of that turn, whose status
  // would write over it.
  /** @param {string} tab */
  const busy = (tab) => {
    const send = omniPage.part(tab, "send");
    return send instanceof HTMLButtonElement && send.disabled;
  };
  /** @param {string} tab */
  const showBusy = (tab) =>
    show(tab, "off", omniPage.part(tab, "live-busy")?.textContent?.trim() ?? "");

  /** @param {string} tab */
  const pressStop = (tab) => omniPage.part(tab, "live-stop")?.click();

  return { show, off, meter, note, video, busy, showBusy, pressStop };
})();
