// The model card: opened by the chip in the head, closed by Esc or a click elsewhere; and news of
// the model, whoever has loaded it.
const omniModel = (() => {
  const NEWS_MS = 2500;
  const GAP_PX = 8;

  const chip = () => document.getElementById("model-open");
  const card = () => document.getElementById("model-card");
  const isOpen = () => card()?.dataset.open === "true";

  /** Below the chip, at its right end; a phone has it as a sheet (model.css). */
  const place = () => {
    const [from, shown] = [chip()?.getBoundingClientRect(), card()];
    if (!from || !shown) return;
    const right = Math.max(GAP_PX, document.documentElement.clientWidth - from.right);
    shown.style.setProperty("--model-top", `${from.bottom + GAP_PX}px`);
    shown.style.setProperty("--model-right", `${right}px`);
  };

  /** @param {boolean} open */
  const tell = (open) => {
    const [button, shown] = [chip(), card()];
    if (!button || !shown) return;
    shown.dataset.open = String(open);
    shown.setAttribute("role", "dialog");
    shown.setAttribute("aria-labelledby", "model-title");
    button.setAttribute("aria-haspopup", "dialog");
    button.setAttribute("aria-controls", "model-card");
    button.setAttribute("aria-expanded", String(open));
  };

  const open = () => {
    place();
    tell(true);
    document.getElementById("model-close")?.focus({ preventScroll: true });
  };

  /** @param {boolean} back whether the keyboard goes on at the chip */
  const close = (back) => {
    if (!isOpen()) return;
    tell(false);
    if (back) chip()?.focus();
  };

  const toggle = () => (isOpen() ? close(true) : open());

  /**
   * Whether a click belongs to the card: lists that it has opened lie elsewhere in the document,
   * and what a click has removed is in no place any more.
   * @param {EventTarget | null} target
   */
  const inside = (target) =>
    target instanceof Element &&
    (!target.isConnected || target.closest("#model-card, #model-open, .options, .toast-wrap"));

  document.addEventListener("pointerdown", (event) => {
    if (isOpen() && !inside(event.target)) close(false);
  });
  document.addEventListener(
    "keydown",
    (event) => {
      // A list that is open in the card is closed by Escape first.
      if (event.key !== "Escape" || !isOpen() || omniPage.shown('[role="listbox"]')) return;
      event.preventDefault(); // it stops no answer
      close(true);
    },
    true,
  );
  window.addEventListener("resize", () => isOpen() && place());

  /**
   * Ask now and then whether something has become of the model; a page that nobody sees does not.
   * @param {() => void} news called when the page shows something else than there is
   */
  const watch = (news) => {
    const url = omniGradio.address("/model-news");
    const look = async () => {
      const shown = document.querySelector("#model-status [data-version]");
      if (document.hidden || !(shown instanceof HTMLElement)) return;
      try {
        const answer = await fetch(url);
        if (answer.ok && (await answer.text()) !== shown.dataset.version) news();
      } catch {
        // the server does not answer: Gradio says so
      }
    };
    tell(false);
    setInterval(look, NEWS_MS);
    document.addEventListener("visibilitychange", look);
  };

  return { open, toggle, close, watch };
})();
