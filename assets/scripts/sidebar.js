// The two sidebars, the folded parts and the tab are as the person left them. A small window has a
// memory of its own: what was opened on a large one would hide its page.
const omniSidebar = (() => {
  const { SELECTORS } = omniGradio;
  const SIDES = ["conversations", "settings"];
  const ROOMY = "(min-width: 100rem)"; // there is room for both beside the chat
  const COMING_MS = 120_000; // a slow network
  const SETTLED_LOOKS = 15; // of 20 ms each
  const WIDE = "(min-width: 64rem)"; // there is room for one
  /** @param {string} query */
  const matches = (query) => window.matchMedia(query).matches;
  /** @param {string} name */
  const key = (name) => `omni.open.${name}.${matches(WIDE) ? "wide" : "small"}`;

  /** @param {string} side */
  const toggle = (side) => {
    const button = document.querySelector(`#${side} ${SELECTORS.sidebarSwitch}`);
    if (button instanceof HTMLElement) button.click();
  };
  /**
   * What an earlier visit left; at first both sides stand open where there is room for both.
   * @param {string} side
   */
  const wanted = (side) => {
    const kept = omniPage.kept(key(side));
    return kept === null ? matches(ROOMY) : kept === "true";
  };

  // The page makes room before the sidebars are there, so that nothing moves when they come.
  for (const side of SIDES) document.documentElement.dataset[side] = String(wanted(side));
  /** @param {Element} found */
  const remember = (found) => {
    const side = found.id;
    const note = () => {
      const open = String(omniGradio.sidebarIsOpen(side));
      if (document.documentElement.dataset[side] === open) return;
      document.documentElement.dataset[side] = open;
      omniPage.keep(key(side), open);
    };
    new MutationObserver(note).observe(found, { attributeFilter: ["class"] });
    note();
  };

  // Gradio draws a sidebar closed, hears clicks a little later, and closes it once more then.
  /** @param {string} side */
  const restoreSide = async (side) => {
    const found = await omniPage.until(
      () =>
        document.querySelector(`#${side} ${SELECTORS.sidebarSwitch}`) &&
        document.getElementById(side),
      COMING_MS,
    );
    if (!found) return;
    let settled = 0;
    await omniPage.until(() => {
      settled = omniGradio.sidebarIsOpen(side) === wanted(side) ? settled + 1 : 0;
      if (!settled) toggle(side);
      return settled > SETTLED_LOOKS;
    });
    remember(found);
  };
  for (const side of SIDES) restoreSide(side);
  // Whoever presses while that goes on is not undone.
  document.addEventListener(
    "click",
    ({ target, isTrusted }) => {
      const button = target instanceof Element ? target.closest(SELECTORS.sidebarSwitch) : null;
      const side = button?.closest(SELECTORS.sidebar)?.id;
      if (side && isTrusted) omniPage.keep(key(side), String(!omniGradio.sidebarIsOpen(side)));
    },
    true,
  );

  // Folded parts, by their ids; and the tab that was open.
  const TAB = "omni.tab";
  const restore = () => {
    /** @type {NodeListOf<HTMLElement>} */
    const parts = document.querySelectorAll(`${SELECTORS.folded}:not([data-known])`);
    for (const part of parts) {
      part.dataset.known = "true";
      const button = part.querySelector(SELECTORS.foldedSwitch);
      if (!(button instanceof HTMLElement)) continue;
      const kept = omniPage.kept(key(part.id));
      const open = () => omniGradio.isOpen(button);
      if (kept !== null && kept !== String(open())) button.click();
      button.addEventListener("click", ({ isTrusted }) => {
        if (isTrusted) setTimeout(() => omniPage.keep(key(part.id), String(open())));
      });
    }
    const kept = omniPage.kept(TAB);
    const list = document.querySelector(`${SELECTORS.tabList}:not([data-known])`);
    if (!(list instanceof HTMLElement) || !list.querySelector(SELECTORS.tab)) return;
    list.dataset.known = "true";
    list.addEventListener("click", ({ target, isTrusted }) => {
      const tab = target instanceof Element && target.closest(SELECTORS.tab);
      if (tab && isTrusted) omniPage.keep(TAB, tab.id);
    });
    if (kept) document.getElementById(kept)?.click();
  };
  omniPage.whenChanged(restore);

  return {
    /** @param {string} side */
    show(side) {
      if (!omniGradio.sidebarIsOpen(side)) toggle(side);
    },
  };
})();
