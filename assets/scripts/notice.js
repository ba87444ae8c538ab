// Short notices: what the page says of itself can be closed and stays closed, what a person has
// just done is answered above the composer.
const omniNotice = (() => {
  const CLOSED = "omni.closed-notice"; // the text that was closed last
  const STAYS_MS = 12_000;

  const label = () => document.getElementById("word-close")?.textContent?.trim() ?? "";

  /** @param {() => void} act */
  const closeButton = (act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "close-notice";
    button.addEventListener("click", act);
    return button;
  };
  omniPage.whenChanged(() => {
    /** @type {NodeListOf<HTMLElement>} */
    const buttons = document.querySelectorAll(".close-notice");
    for (const button of buttons) {
      if (button.title === label()) continue;
      button.title = label();
      button.setAttribute("aria-label", label());
    }
  });

  // The word about the model: whoever has closed it, or has begun a turn below it, has read it, until
  // it says something else.
  let known = "";
  const banner = () => document.getElementById("model-banner");
  const words = () => banner()?.querySelector("[id^=html]")?.textContent?.trim() ?? "";
  /** @param {boolean} closed */
  const show = (closed) => {
    document.documentElement.dataset.notice = closed ? "closed" : "open";
  };
  const read = () => {
    known = words();
    show(true);
  };
  show(omniPage.kept(CLOSED) !== null);
  omniPage.whenChanged(() => {
    const place = banner();
    if (!place) return;
    if (words()) show([known, omniPage.kept(CLOSED)].includes(words()));
    const choose = place.querySelector(".open-model");
    const named = document.getElementById("word-model")?.textContent?.trim() ?? "";
    if (choose && choose.textContent !== named) choose.textContent = named;
    if (place.querySelector(".close-notice")) return;
    const close = () => {
      omniPage.keep(CLOSED, words());
      read();
    };
    const open = document.createElement("button");
    open.type = "button";
    open.className = "open-model";
    open.addEventListener("click", () => omniModel.open());
    place.append(open, closeButton(close));
  });

  /**
   * A sentence at the head of a place, with something to do about it or without.
   * @param {Element | string} where a tab: the head of its composer
   * @param {string} words
   * @param {{words: string, act: () => void}} [offer]
   */
  const tell = (where, words, offer) => {
    const place = typeof where === "string" ? omniPage.part(where, "composer") : where;
    if (!place) return;
    place.querySelector(".told")?.remove();
    const note = document.createElement("div");
    note.className = "told";
    note.setAttribute("role", "alert");
    const text = document.createElement("span");
    text.textContent = words;
    note.append(text);
    if (offer) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = offer.words;
      button.addEventListener("click", () => {
        note.remove();
        offer.act();
      });
      note.append(button);
    }
    note.append(closeButton(() => note.remove()));
    place.prepend(note);
    setTimeout(() => note.remove(), STAYS_MS);
  };

  return { read, tell, closeButton };
})();
