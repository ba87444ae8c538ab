// Buttons in the messages of a chat that Gradio's chat does not have: copy, save, delete. The chat
// redraws its rows whenever it likes, so they are looked through again.
const omniChat = (() => {
  const { SELECTORS } = omniGradio;
  /** @param {string} paths */
  const icon = (paths) =>
    '<svg viewBox="0 0 24 24" width="100%" height="100%" fill="none" stroke="currentColor" ' +
    `stroke-width="2" stroke-linecap="round" aria-hidden="true"><path d="${paths}"/></svg>`;
  const ICONS = {
    copy: icon("M9 9h11v11H9zM5 15H4V4h11v1"),
    keep: icon("M5 4h11l4 4v12H5zM8 4v5h7V4M8 20v-6h8v6"),
    discard: icon("M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5"),
  };
  const DONE = icon("M5 12l5 5L20 7");
  const DONE_MS = 1500;
  const PLACES = {
    copy: SELECTORS.buttonPlace,
    keep: SELECTORS.buttonPlace,
    discard: SELECTORS.leftButtonPlace, // with the question's answer
  };
  const NOTE = ":has(p > em:only-child)"; // a text that is only about the answer
  /** @typedef {keyof typeof ICONS} Action */

  /** @param {Element} row */
  const textOf = (row) => {
    /** @type {NodeListOf<HTMLElement>} */
    const found = row.querySelectorAll(SELECTORS.rowText);
    const said = [...found].filter((text) => !text.matches(NOTE));
    // biome-ignore lint/performance/useDomNodeTextContent: lines end where they do on the page
    return (said.length ? said : [...found]).map((one) => one.innerText.trim()).join("\n");
  };

  /**
   * @param {Element} row
   * @param {HTMLButtonElement} button
   */
  const copy = async (row, button) => {
    const text = textOf(row);
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else {
      // a page that is not from https or this machine
      const box = document.createElement("textarea");
      box.value = text;
      document.body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
    button.innerHTML = DONE;
    setTimeout(() => {
      button.innerHTML = ICONS.copy;
    }, DONE_MS);
  };

  /**
   * @param {Element} chat
   * @param {Action} action
   * @param {(row: number) => void} send
   */
  const newButton = (chat, action, send) => {
    const button = document.createElement("button");
    button.className = `ours ${action}`;
    button.type = "button";
    button.innerHTML = ICONS[action];
    button.addEventListener("click", () => {
      const rows = omniGradio.rowsBefore(chat, button);
      const row = rows.at(-1);
      if (action !== "copy") send(rows.length - 1);
      else if (row) copy(row, button);
    });
    return button;
  };

  /**
   * @param {Element} chat
   * @param {Action} action
   * @param {() => string} label
   * @param {(row: number) => void} send
   */
  const addTo = (chat, action, label, send) => {
    for (const place of chat.querySelectorAll(PLACES[action])) {
      /** @type {HTMLButtonElement | null} */
      let button = place.querySelector(`.${action}`);
      if (!button) {
        button = newButton(chat, action, send);
        place.append(button);
      }
      if (button.title !== label()) {
        button.title = label();
        button.setAttribute("aria-label", label());
      }
    }
  };

  /**
   * A picture is a button that enlarges it; screen readers get its file's name.
   * @param {Element} chat
   */
  const namePictures = (chat) => {
    for (const button of chat.querySelectorAll(`${SELECTORS.picture}:not([aria-label])`)) {
      const name = button.querySelector("img")?.src.split("/").pop() ?? "";
      button.setAttribute("aria-label", decodeURIComponent(name));
    }
  };

  return {
    /**
     * @param {string} tab
     * @param {Action} action
     * @param {() => string} label
     * @param {(row: number) => void} send
     */
    watch(tab, action, label, send) {
      let due = false;
      const look = () => {
        due = false;
        const chat = omniPage.part(tab, "chat");
        if (!chat) return;
        addTo(chat, action, label, send);
        namePictures(chat);
      };
      new MutationObserver(() => {
        if (!due) requestAnimationFrame(look);
        due = true;
      }).observe(document.body, { childList: true, subtree: true, characterData: true });
      look();
    },
  };
})();
