// Keyboard shortcuts of the page; assets/words tells them to people (keys-help).
(() => {
  const { recordStop, recordStopPaused, textBox, openList, tab, tabList } = omniGradio.SELECTORS;
  const current = () => omniPage.shown('[id$="-chat"]')?.id.replace(/-chat$/, "") ?? "";
  /** @param {HTMLElement} element */
  const types = (element) =>
    element.isContentEditable || element.matches("textarea, select, input:not([type=radio])");

  const startOrStopRecording = () => {
    // The recorder of the tab: the main input of Audio, the spoken question of the others.
    for (const button of [recordStop, recordStopPaused]) {
      const found = omniPage.shown(`#${current()}-tab ${button}`);
      if (found) return found.click();
    }
    omniPage.part(current(), "record")?.click(); // the composer's button: it opens the recorder
  };

  /**
   * To the tab on the left (-1) or right (1).
   * @param {HTMLElement} from
   * @param {number} step
   */
  const move = (from, step) => {
    /** @type {NodeListOf<HTMLElement> | undefined} */
    const found = from.closest(tabList)?.querySelectorAll(tab);
    const tabs = [...(found ?? [])];
    const next = tabs.at((tabs.indexOf(from) + step) % tabs.length);
    next?.click();
    next?.focus();
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    if (event.altKey) {
      const acts = { KeyR: startOrStopRecording, KeyM: omniVolume.mute };
      if (event.code in acts) {
        event.preventDefault();
        acts[/** @type {keyof typeof acts} */ (event.code)]();
      }
    } else if (event.key === "Escape") {
      if (omniPage.shown(openList)) return;
      omniSounding.end();
      const stop = omniPage.part(current(), "stop");
      if (stop instanceof HTMLButtonElement && !stop.disabled) stop.click();
    } else if (event.key === "/" && !types(target)) {
      event.preventDefault();
      omniPage.shown(`#${current()}-text ${textBox}`)?.focus();
    } else if (target.matches(tab)) {
      const steps = { ArrowLeft: -1, ArrowRight: 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      move(target, steps[/** @type {keyof typeof steps} */ (event.key)]);
    }
  });
})();
