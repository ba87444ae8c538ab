// The composer below the chat: what its buttons open, and when it sends. A recording that still
// runs, or a file that is still on its way, is waited for: whoever presses Send means it too.
const omniComposer = (() => {
  const { SELECTORS } = omniGradio;
  const FILES = 0; // the first source of an input; the second is its microphone or camera
  const DEVICE = 1;
  const START_MS = 5000; // the longest that a microphone takes to begin
  const RESTORING_MS = 5000; // on a slow machine
  const SHORTEST_MS = 600; // of a recording that has something in it
  const UPLOAD_MS = 120_000; // the longest that Send waits for a recording to reach the server
  const TAKEN_MS = 200; // until the input holds what has reached the server
  const SPEAK = "omni.speak";

  /**
   * The input of a tab that takes a kind of media.
   * @param {string} tab
   * @param {string} kind
   * @returns {HTMLElement | null}
   */
  const taking = (tab, kind) => omniPage.part(tab, "tray")?.querySelector(`.takes-${kind}`) ?? null;
  const inputs = () =>
    /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".tray > [class*=takes-]"));
  const current = () => omniPage.shown(".composer")?.id.replace(/-composer$/, "") ?? "";
  /** @param {Element} element */
  const tabOf = (element) => element.closest(".composer")?.id.replace(/-composer$/, "") ?? "";

  /**
   * Show an input that holds nothing, with one of its sources.
   * @param {HTMLElement} input
   * @param {number} source
   */
  const open = (input, source) => {
    input.dataset.open = "true";
    const found = input.querySelectorAll(SELECTORS.source)[source];
    if (found instanceof HTMLElement) found.click();
  };

  /**
   * The button that ends the recording of an input or a tab, while there is one.
   * @param {string} place
   */
  const ending = (place) =>
    [SELECTORS.recordStop, SELECTORS.recordStopPaused]
      .map((name) => omniPage.shown(`#${place} ${name}`))
      .find(Boolean);

  /** @param {HTMLElement} input */
  const holds = (input) => input.querySelectorAll(SELECTORS.held).length;

  /** @param {HTMLElement} input */
  const empty = (input) => {
    const clear = input.querySelector(SELECTORS.clearInput);
    if (clear instanceof HTMLElement) clear.click();
  };

  /**
   * What was opened and holds nothing is closed: its message is on its way.
   * @param {string} tab
   */
  const fold = (tab) => {
    for (const input of inputs()) {
      if (tabOf(input) === tab && !ending(input.id)) delete input.dataset.open;
    }
  };

  /** @param {string} tab */
  const record = (tab) => {
    const begun = begin(tab).finally(() => beginning.delete(tab));
    beginning.set(tab, begun);
  };

  // Recordings that the browser has not begun yet, by tab.
  /** @type {Map<string, Promise<void>>} */
  const beginning = new Map();
  /** @param {string} tab */
  const begin = async (tab) => {
    const input = taking(tab, "audio");
    if (!input) return;
    const stop = ending(input.id);
    if (stop) return stop.click();
    if (holds(input)) {
      empty(input);
      await omniPage.until(() => !holds(input));
    }
    open(input, DEVICE);
    (await omniPage.until(() => omniPage.shown(`#${input.id} ${SELECTORS.record}`)))?.click();
    await omniPage.until(() => ending(input.id), START_MS);
  };

  /** @param {string} tab */
  const camera = async (tab) => {
    const input = taking(tab, "video") ?? taking(tab, "image");
    if (!input) return;
    open(input, DEVICE);
    (await omniPage.until(() => omniPage.shown(`#${input.id} ${SELECTORS.grantCamera}`)))?.click();
  };

  /**
   * Open or close the menu of a tab.
   * @param {string} tab
   * @param {boolean} [shown]
   */
  const more = (tab, shown) => {
    const [menu, button] = ["menu", "more"].map((name) => omniPage.part(tab, name));
    if (!menu || !button) return;
    const on = shown ?? menu.dataset.open !== "true";
    menu.dataset.open = String(on);
    button.setAttribute("aria-expanded", String(on));
    if (on) menu.querySelector("button")?.focus();
  };
  const openMenu = () => document.querySelector('.menu[data-open="true"]');

  const anew = () => omniPage.part(current(), "clear")?.click();

  // Files that a tab's inputs are taking (files.js), by tab.
  /** @type {Map<string, Promise<unknown>>} */
  const coming = new Map();

  /**
   * @param {string} tab
   * @param {Promise<unknown>} arrival
   */
  const expect = (tab, arrival) => {
    const all = Promise.allSettled([coming.get(tab), arrival]);
    coming.set(tab, all);
    all.then(() => coming.get(tab) === all && coming.delete(tab));
  };

  /**
   * End the recording of a tab and wait for all that is on its way into its inputs.
   * @param {string} tab
   */
  const complete = async (tab) => {
    if (beginning.has(tab)) {
      await beginning.get(tab);
      await new Promise((done) => setTimeout(done, SHORTEST_MS));
    }
    const stop = ending(`${tab}-composer`);
    if (stop) {
      const before = omniGradio.uploads();
      stop.click(); // its wave is shown at once, but it can be sent when the server has it
      await omniPage.until(() => omniGradio.uploads() > before, UPLOAD_MS);
      await new Promise((done) => setTimeout(done, TAKEN_MS));
    }
    await coming.get(tab);
  };

  /**
   * Hold an event back until everything is there; true: it is held.
   * @param {Event} event
   * @param {string} tab
   * @param {() => void} again
   */
  const held = (event, tab, again) => {
    const due = ending(`${tab}-composer`) ?? (coming.has(tab) || beginning.has(tab));
    if (!due) return false;
    event.preventDefault();
    event.stopImmediatePropagation();
    const composer = omniPage.part(tab, "composer");
    if (!composer || composer.dataset.waiting) return true;
    composer.dataset.waiting = "true";
    complete(tab).then(() => {
      delete composer.dataset.waiting;
      again();
    });
    return true;
  };

  /** @param {MouseEvent} event */
  const press = (event) => {
    const target = event.target instanceof Element ? event.target : document.body;
    const button = target.closest(".icon-send, .choice:not(.runs)");
    if (button instanceof HTMLElement && held(event, tabOf(button), () => button.click())) return;
    const menu = openMenu();
    if (menu && !target.closest(".icon-more, .menu .hint")) more(tabOf(menu), false);
  };
  document.addEventListener("click", press, true);

  /** @param {KeyboardEvent} event */
  const type = (event) => {
    const menu = openMenu();
    if (event.key === "Escape" && menu) {
      event.stopImmediatePropagation();
      more(tabOf(menu), false);
      omniPage.part(tabOf(menu), "more")?.focus();
    }
    const { target } = event;
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    if (!(target instanceof HTMLTextAreaElement)) return;
    const tab = tabOf(target);
    if (tab) held(event, tab, () => omniPage.part(tab, "send")?.click());
  };
  document.addEventListener("keydown", type, true);

  // Each input has a button that empties and closes it.
  const closers = () => {
    for (const input of inputs()) {
      if (input.querySelector(":scope > .close-notice")) continue;
      const close = async () => {
        ending(input.id)?.click();
        if (input.querySelector(SELECTORS.clearInput)) {
          await omniPage.until(() => !ending(input.id));
          empty(input);
        }
        delete input.dataset.open;
      };
      input.append(omniNotice.closeButton(close));
    }
  };

  // Whether answers are spoken is one choice for all tabs, and remembered.
  const speak = () => {
    /** @type {NodeListOf<HTMLInputElement>} */
    const boxes = document.querySelectorAll(".speak input:not([data-known])");
    for (const box of boxes) {
      box.dataset.known = "true";
      restore(box);
      box.addEventListener("change", ({ isTrusted }) => {
        if (isTrusted) keepSpeak(box.checked);
      });
    }
  };
  /**
   * Gradio draws a box, and gives it its first value once more a while later.
   * @param {HTMLInputElement} box
   */
  const restore = (box) => {
    omniPage.until(() => {
      const kept = omniPage.kept(SPEAK);
      if (kept !== null && box.checked !== (kept === "true")) box.click();
      return !box.isConnected;
    }, RESTORING_MS);
  };
  /** @param {boolean} on */
  const keepSpeak = (on) => {
    omniPage.keep(SPEAK, String(on));
    /** @type {NodeListOf<HTMLInputElement>} */
    const boxes = document.querySelectorAll(".speak input");
    for (const box of boxes) if (box.checked !== on) box.click();
  };

  // An icon's words appear as its tooltip, in the language of the page.
  const tooltips = () => {
    /** @type {NodeListOf<HTMLElement>} */
    const buttons = document.querySelectorAll(".icon-tool");
    for (const button of buttons) {
      const words = button.textContent?.trim() ?? "";
      if (button.title !== words) button.title = words;
    }
  };

  omniPage.whenChanged(() => {
    closers();
    speak();
    tooltips();
  });

  return { FILES, record, camera, more, anew, current, taking, open, holds, empty, fold, expect };
})();
