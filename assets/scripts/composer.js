// The composer below the chat: what its buttons open, and files that are chosen, dropped or pasted,
// which go to the input that takes them, whichever of Gradio's it is.
const omniComposer = (() => {
  const { SELECTORS } = omniGradio;
  const KINDS = ["audio", "image", "video"];
  // What browsers have no type for, by the end of the name.
  /** @type {Record<string, string>} */
  const ENDINGS = { flac: "audio", m4a: "audio", opus: "audio", mkv: "video", heic: "image" };
  const WAIT_MS = 20;
  const TRIES = 500; // 10 s

  /** @param {string} tab */
  const tray = (tab) => omniPage.part(tab, "tray");
  /**
   * The input of a tab that takes a kind of media.
   * @param {string} tab
   * @param {string} kind
   * @returns {HTMLElement | null}
   */
  const taking = (tab, kind) => tray(tab)?.querySelector(`.takes-${kind}`) ?? null;

  /**
   * @template T
   * @param {() => T | null | undefined | false} look
   * @returns {Promise<T | null>}
   */
  const until = async (look) => {
    for (let tries = TRIES; tries > 0; tries--) {
      const found = look();
      if (found) return found;
      await new Promise((done) => setTimeout(done, WAIT_MS));
    }
    return null;
  };

  /**
   * Show an input that holds nothing.
   * @param {HTMLElement} input
   */
  const open = (input) => {
    input.dataset.open = "true";
  };
  /**
   * Let an input take from its first source (files) or its second (microphone, camera).
   * @param {HTMLElement} input
   * @param {number} place
   */
  const choose = (input, place) => {
    const sources = input.querySelectorAll(SELECTORS.source);
    const source = sources[place];
    if (source instanceof HTMLElement) source.click();
  };

  /** @param {File} file */
  const kindOf = (file) => {
    const kind = file.type.split("/")[0] ?? "";
    return KINDS.includes(kind) ? kind : (ENDINGS[file.name.split(".").pop() ?? ""] ?? "other");
  };

  /**
   * @param {HTMLElement} input
   * @param {File[]} files
   */
  const hand = async (input, files) => {
    open(input);
    const clear = input.querySelector(SELECTORS.clearInput);
    if (!input.querySelector(SELECTORS.fileInput)) {
      if (clear instanceof HTMLElement) clear.click();
      await until(() => input.querySelector(SELECTORS.source));
      choose(input, 0);
    }
    const field = await until(
      () => /** @type {HTMLInputElement | null} */ (input.querySelector(SELECTORS.fileInput)),
    );
    if (!field) return;
    const carrier = new DataTransfer();
    for (const file of field.multiple ? files : files.slice(0, 1)) carrier.items.add(file);
    field.files = carrier.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };

  /**
   * Say which tab takes what this one does not.
   * @param {string} tab
   * @param {string} kind
   */
  const refuse = (tab, kind) => {
    const words = omniPage.part(tab, `refuses-${kind}`)?.textContent?.trim() ?? "";
    omniNotice.tell(tab, words);
  };

  /**
   * Files for a tab, each to the input that takes it.
   * @param {string} tab
   * @param {File[]} files
   */
  const give = async (tab, files) => {
    for (const kind of [...KINDS, "other"]) {
      const some = files.filter((file) => kindOf(file) === kind);
      if (!some.length) continue;
      const input = taking(tab, kind);
      if (input) await hand(input, some);
      else refuse(tab, kind);
    }
  };

  /** @param {string} tab */
  const attach = (tab) => {
    const field = document.createElement("input");
    field.type = "file";
    field.multiple = true;
    field.accept = KINDS.filter((kind) => taking(tab, kind))
      .map((kind) => `${kind}/*`)
      .join();
    field.addEventListener("change", () => give(tab, [...(field.files ?? [])]));
    field.click();
  };

  /** @param {string} tab */
  const record = async (tab) => {
    const input = taking(tab, "audio");
    if (!input) return;
    open(input);
    for (const name of [SELECTORS.recordStop, SELECTORS.recordStopPaused, SELECTORS.record]) {
      const button = omniPage.shown(`#${input.id} ${name}`);
      if (button) return button.click();
    }
    choose(input, 1);
    (await until(() => omniPage.shown(`#${input.id} ${SELECTORS.record}`)))?.click();
  };

  /** @param {string} tab */
  const camera = (tab) => {
    const input = taking(tab, "video") ?? taking(tab, "image");
    if (!input) return;
    open(input);
    choose(input, 1);
  };

  /** @param {string} tab */
  const more = (tab) => {
    const menu = omniPage.part(tab, "menu");
    if (menu) menu.dataset.open = String(menu.dataset.open !== "true");
  };

  const current = () => omniPage.shown(".composer")?.id.replace(/-composer$/, "") ?? "";
  const anew = () => omniPage.part(current(), "clear")?.click();

  document.addEventListener(
    "click",
    ({ target }) => {
      if (!(target instanceof Element) || target.closest(".icon-more")) return;
      for (const menu of document.querySelectorAll(".menu[data-open=true]")) {
        if (menu instanceof HTMLElement && !target.closest(".hint")) menu.dataset.open = "false";
      }
    },
    true,
  );

  return { attach, record, camera, more, anew, give, current };
})();
