// Short notices: what the page says of itself can be closed and stays closed, what a person has
// just done is answered above the composer.
const omniNotice = (() => {
  const CLOSED = "omni.closed-notice"; // the text that was closed last
  const STAYS_MS = 12_000;

  /**
   * @param {() => void} act
   * @param {string} label
   */
  const closeButton = (act, label) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "close-notice";
    button.setAttribute("aria-label", label);
    button.title = label;
    button.addEventListener("click", act);
    return button;
  };

  const label = () => document.getElementById("close-word")?.textContent?.trim() ?? "";

  // The word about the model: whoever has closed it has read it, until it says something else.
  const banner = () => {
    const place = document.getElementById("model-banner");
    if (!place) return;
    const text = place.querySelector("[id^=html]")?.textContent?.trim() ?? "";
    place.hidden = text !== "" && text === omniPage.kept(CLOSED);
    const old = place.querySelector(".close-notice");
    if (old) {
      if (old.getAttribute("aria-label") !== label()) old.setAttribute("aria-label", label());
      return;
    }
    const close = () => {
      const now = place.querySelector("[id^=html]")?.textContent?.trim() ?? "";
      omniPage.keep(CLOSED, now);
      place.hidden = true;
    };
    place.append(closeButton(close, label()));
  };
  omniPage.whenChanged(banner);

  /**
   * A sentence above the composer of a tab, with something to do about it or without.
   * @param {string} tab
   * @param {string} words
   * @param {{words: string, act: () => void}} [offer]
   */
  const tell = (tab, words, offer) => {
    const composer = omniPage.part(tab, "composer");
    if (!composer) return;
    composer.querySelector(".composer-note")?.remove();
    const note = document.createElement("div");
    note.className = "composer-note";
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
    note.append(closeButton(() => note.remove(), label()));
    composer.prepend(note);
    setTimeout(() => note.remove(), STAYS_MS);
  };

  return { tell };
})();
