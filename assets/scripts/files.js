// Files that are chosen, dropped or pasted go to the input that takes their kind, whichever of
// Gradio's it is. What a tab does not take is answered with a sentence, and with the way there.
const omniFiles = (() => {
  const { SELECTORS } = omniGradio;
  const KINDS = ["audio", "image", "video"];
  // The tab that takes a kind; sound is taken everywhere.
  /** @type {Record<string, string>} */
  const HOME = { image: "image", video: "video" };
  // What browsers have no type for, by the end of the name.
  /** @type {Record<string, string>} */
  const ENDINGS = {
    ...{ aac: "audio", aiff: "audio", amr: "audio", flac: "audio", m4a: "audio", opus: "audio" },
    ...{ wma: "audio", heic: "image", heif: "image", avi: "video", mkv: "video", mts: "video" },
  };
  const TAKEN_MS = 5000; // until an input shows what has reached the server
  const UPLOAD_MS = 600_000; // the longest that Send waits for a file

  /** @param {File} file */
  const kindOf = ({ type, name }) => {
    const kind = type.split("/")[0] ?? "";
    const ending = name.toLowerCase().split(".").pop() ?? "";
    return KINDS.includes(kind) ? kind : (ENDINGS[ending] ?? "other");
  };
  /** @param {string} word */
  const say = (word) => document.getElementById(`word-${word}`)?.textContent?.trim() ?? "";

  /**
   * Hand files to one of Gradio's inputs, as if they were chosen there.
   * @param {HTMLElement} input
   * @param {File[]} files
   */
  const hand = async (input, files) => {
    input.dataset.open = "true";
    if (!input.querySelector(SELECTORS.fileInput)) {
      if (omniComposer.holds(input)) omniComposer.empty(input);
      await omniPage.until(() => !omniComposer.holds(input));
      omniComposer.open(input, omniComposer.FILES);
    }
    const field = await omniPage.until(
      () => /** @type {HTMLInputElement | null} */ (input.querySelector(SELECTORS.fileInput)),
    );
    if (!field) return;
    const before = omniComposer.holds(input);
    const uploads = omniGradio.uploads();
    const carrier = new DataTransfer();
    for (const file of field.multiple ? files : files.slice(0, 1)) carrier.items.add(file);
    field.files = carrier.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
    const holds = () => omniComposer.holds(input) > before;
    await omniPage.until(() => holds() || omniGradio.uploads() > uploads, UPLOAD_MS);
    if (await omniPage.until(holds, TAKEN_MS)) return;
    if (!omniComposer.holds(input)) delete input.dataset.open;
    omniNotice.tell(input.closest(".composer") ?? input, say("lost"));
  };

  /**
   * @param {string} tab
   * @param {string} kind
   * @param {File[]} files
   */
  const refuse = (tab, kind, files) => {
    const home = HOME[kind];
    const there = home ? document.getElementById(`${home}-tab-button`) : null;
    const act = async () => {
      there?.click();
      await omniPage.until(() => omniPage.shown(`#${home}-composer`));
      give(home ?? "", files);
    };
    omniNotice.tell(tab, say(kind), there ? { words: say("switch"), act } : undefined);
  };

  /**
   * Files for a tab, each to the input that takes it.
   * @param {string} tab
   * @param {File[]} files
   */
  const give = (tab, files) => {
    for (const kind of [...KINDS, "other"]) {
      const some = files.filter((file) => kindOf(file) === kind);
      if (!some.length) continue;
      const input = omniComposer.taking(tab, kind);
      if (input) omniComposer.expect(tab, hand(input, some));
      else refuse(tab, kind, some);
    }
  };

  /** @param {string} tab */
  const attach = (tab) => {
    const field = document.createElement("input");
    field.type = "file";
    field.multiple = true;
    field.accept = KINDS.filter((kind) => omniComposer.taking(tab, kind))
      .map((kind) => `${kind}/*`)
      .join();
    field.addEventListener("change", () => give(tab, [...(field.files ?? [])]));
    field.click();
  };

  /**
   * Files for the tab that is shown, if it is the tab that they were dropped on or pasted into.
   * @param {Event} event
   * @param {DataTransfer | null} carrier
   */
  const take = (event, carrier) => {
    const files = [...(carrier?.files ?? [])];
    const place = event.target instanceof Element ? event.target : document.body;
    if (!files.length || place.closest(SELECTORS.sidebar)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    give(omniComposer.current(), files);
  };
  document.addEventListener("paste", (event) => take(event, event.clipboardData), true);
  document.addEventListener("drop", (event) => take(event, event.dataTransfer), true);
  document.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  /** @param {boolean} on */
  const mark = (on) => () => {
    document.body.dataset.dragging = String(on);
  };
  document.addEventListener("dragover", mark(true));
  document.addEventListener("drop", mark(false), true);
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false)());

  // What is chosen in one of Gradio's own inputs and is of another kind than it takes: Gradio would
  // answer with a list of types.
  document.addEventListener(
    "change",
    (event) => {
      const field = event.target;
      if (!(field instanceof HTMLInputElement) || field.type !== "file" || !field.accept) return;
      const takes = field.accept.split(",").map((one) => one.trim().split("/")[0] ?? "");
      const fits = [...(field.files ?? [])].every((file) =>
        takes.some((one) =>
          one.startsWith(".") ? file.name.toLowerCase().endsWith(one) : one === kindOf(file),
        ),
      );
      if (fits) return;
      event.stopImmediatePropagation();
      field.value = "";
      const place = field.closest(".block") ?? field.parentElement;
      if (place) omniNotice.tell(place, say("wrong-file"));
    },
    true,
  );

  return { give, attach };
})();
