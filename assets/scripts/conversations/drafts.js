// What a page remembers when it is loaded again: the tab that was shown, what was being typed in
// each, which conversations they showed. It is the page's own: another page of the browser has others.
const omniVisit = (() => {
  const KEPT = "omni.visit";
  const TAKEN_MS = 30_000; // after which what was sent and has not come into the chat is given back
  const TAB = /^(\w+)-tab-button$/;
  /** @type {{ tab: string, drafts: Record<string, string>, chats: Record<string, { id: string, secret: string }> }} */
  let visit = { tab: "", drafts: {}, chats: {} };
  try {
    visit = { ...visit, ...JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") };
  } catch {
    // a browser that keeps nothing, or something else under this name
  }
  const remember = () => {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(visit));
    } catch {
      // it holds until the page is loaded again
    }
  };

  const tabs = () => {
    /** @type {NodeListOf<HTMLElement>} */
    const found = document.querySelectorAll(omniGradio.SELECTORS.tab);
    return [...found].filter(({ id }) => TAB.test(id));
  };
  /** @param {Element} button */
  const nameOf = (button) => button.id.match(TAB)?.[1] ?? "";
  const shown = () => {
    const chosen = tabs().find((tab) => tab.getAttribute("aria-selected") === "true");
    return chosen ? nameOf(chosen) : "";
  };
  /** @param {string} tab */
  const show = (tab) => {
    if (shown() !== tab) document.getElementById(`${tab}-tab-button`)?.click();
  };

  /** @param {string} tab */
  const box = (tab) => {
    const found = document.querySelector(`#${tab}-text ${omniGradio.SELECTORS.textBox}`);
    return found instanceof HTMLTextAreaElement ? found : null;
  };
  /**
   * @param {HTMLTextAreaElement} box
   * @param {string} text
   */
  const type = (box, text) => {
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  // What was sent from a tab and is not in its chat yet; what of that stands in the box again.
  /** @type {Record<string, string>} */
  const sent = {};
  /** @type {Record<string, string>} */
  const back = {};
  /**
   * A server that is not reached says nothing: then what was sent stands in the box again.
   * @param {string} tab
   * @param {string} text
   */
  const watch = async (tab, text) => {
    const stop = omniPage.part(tab, "stop");
    const clears = omniNewest.number(`${tab}-clear`);
    const running = () => stop instanceof HTMLButtonElement && !stop.disabled;
    const returned = () => box(tab)?.value === text;
    const cleared = () => omniNewest.number(`${tab}-clear`) !== clears;
    const known = () => sent[tab] !== text || running() || returned() || cleared();
    const place = (await omniPage.until(known, TAKEN_MS)) ? null : box(tab);
    if (!place) return;
    back[tab] = [text, place.value].filter(Boolean).join("\n");
    type(place, back[tab]);
  };

  /** @type {WeakSet<HTMLTextAreaElement>} */
  const seen = new WeakSet();
  let turned = false;
  const look = () => {
    const open = shown();
    if (!open) return;
    if (!turned) {
      turned = true; // later than the tab of the last visit to any page (sidebar.js)
      if (visit.tab) show(visit.tab);
    } else if (visit.tab !== open) {
      visit.tab = open;
      remember();
    }
    document.body.dataset.tab = shown();
    for (const name of tabs().map(nameOf)) {
      const place = box(name);
      if (!place || seen.has(place)) continue;
      seen.add(place);
      const draft = visit.drafts[name];
      if (draft && !place.value) type(place, draft);
    }
  };
  let due = false;
  new MutationObserver(() => {
    if (!due)
      requestAnimationFrame(() => {
        due = false;
        look();
      });
    due = true;
  }).observe(document, { childList: true, subtree: true, attributeFilter: ["aria-selected"] });

  document.addEventListener("input", ({ target }) => {
    if (!(target instanceof HTMLTextAreaElement)) return;
    const tab = target.closest('[id$="-text"]')?.id.replace(/-text$/, "");
    if (!tab || box(tab) !== target || !tabs().map(nameOf).includes(tab)) return;
    visit.drafts[tab] = target.value;
    remember();
  });
  return {
    shown,
    show,
    /**
     * The box is empty at once, however far the server is; the text remains the draft until the
     * chat has it.
     * @param {string} tab
     */
    send(tab) {
      const place = box(tab);
      if (!place?.value) return;
      const text = place.value;
      sent[tab] = text;
      type(place, "");
      visit.drafts[tab] = text;
      remember();
      watch(tab, text);
    },
    /**
     * What was sent is in the chat now: what still stands in the box is the draft.
     * @param {string} tab
     */
    settle(tab) {
      const place = box(tab);
      if (!place) return;
      if (back[tab] && place.value === back[tab]) type(place, ""); // it has come after all
      delete sent[tab];
      delete back[tab];
      visit.drafts[tab] = place.value;
      remember();
    },
    /** @param {string} tab */
    chat: (tab) => visit.chats[tab],
    /**
     * @param {string} tab
     * @param {{ id: string, secret: string } | null} chat
     */
    setChat(tab, chat) {
      if (chat) visit.chats[tab] = chat;
      else delete visit.chats[tab];
      remember();
    },
  };
})();
