// The voice panel in the browser: ready voices are played and marked, choices are remembered.
const omniVoices = (() => {
  const KEY = "omni.voice";
  const WAIT_MS = 400; // before a choice is written down: several change at once
  let card = ""; // the id of the ready voice whose button was pressed last
  let used = ""; // of the one in use
  let ready = false; // whether what was remembered is back; nothing is written before
  /** @type {HTMLAudioElement | null} */
  let sample = null;
  /** @type {number | undefined} */
  let timer;

  /** Marks the card in use, and names its voice beside the choice to answer in speech. */
  const mark = () => {
    let name = "";
    for (const shown of document.querySelectorAll("[data-voice]")) {
      const chosen = shown instanceof HTMLElement && shown.dataset.voice === used;
      shown.classList.toggle("chosen", chosen);
      shown.querySelector("[aria-pressed]")?.setAttribute("aria-pressed", String(chosen));
      if (chosen) name = shown.querySelector("strong")?.textContent ?? "";
    }
    /** @type {NodeListOf<HTMLElement>} */
    const labels = document.querySelectorAll(".speak .label-text");
    for (const label of labels) label.dataset.by = name;
  };

  return {
    mark,
    /** @param {HTMLElement} button */
    press(button) {
      const holder = button.closest("[data-voice]");
      card = holder instanceof HTMLElement ? (holder.dataset.voice ?? "") : "";
    },
    pressed: () => card,
    /** A press on the voice in use puts it away. */
    wanted: () => (card === used ? "" : card),
    /** @param {string} id */
    use(id) {
      used = id ?? "";
      mark();
    },
    /** @param {{url?: string} | null} file */
    play(file) {
      if (!file?.url) return;
      sample?.pause();
      sample = new Audio(file.url);
      sample.play().catch(() => {}); // the browser did not let it, or another one came before
    },
    kept: () => omniPage.kept(KEY) ?? "",
    begin() {
      ready = true;
    },
    /** @param {Record<string, unknown>} choices */
    keep(choices) {
      if (!ready) return;
      clearTimeout(timer);
      timer = setTimeout(() => omniPage.keep(KEY, JSON.stringify(choices)), WAIT_MS);
    },
  };
})();
