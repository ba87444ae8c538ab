// Keyboard shortcuts of the page; assets/words tells them to people (keys-help).
(() => {
  const visible = (element) => element?.checkVisibility?.() ?? element?.offsetParent != null;
  const shown = (selector) => [...document.querySelectorAll(selector)].find(visible);
  const tab = () => shown('[id$="-send"]')?.id.replace(/-send$/, "");
  const types = (element) =>
    element.isContentEditable || element.matches?.("textarea, select, input:not([type=radio])");

  const record = () => {
    // The recorder of the tab: the main input of Audio, the spoken question of the others.
    for (const button of ["stop-button", "stop-button-paused", "record-button"]) {
      const found = shown(`#${tab()}-tab .${button}`);
      if (found) return found.click();
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey) return;
    if (event.altKey) {
      const act = { KeyR: record, KeyM: () => omniSpeech.mute() }[event.code];
      if (act) {
        event.preventDefault();
        act();
      }
    } else if (event.key === "Escape") {
      const stop = document.getElementById(`${tab()}-stop`);
      if (stop && !stop.disabled && !shown('[role="listbox"], [role="dialog"]')) stop.click();
    } else if (event.key === "/" && !types(event.target)) {
      event.preventDefault();
      shown(`#${tab()}-text textarea`)?.focus();
    } else if (event.target.matches?.('[role="tab"]')) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      const tabs = [...event.target.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
      const next = tabs.at((tabs.indexOf(event.target) + step) % tabs.length);
      event.preventDefault();
      next.click();
      next.focus();
    }
  });
})();
