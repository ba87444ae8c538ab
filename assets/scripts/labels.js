// Gradio's own names for its buttons are English in every language: they are said again in the
// language of the page. What it names here is looked for by tests/browser/test_gradio_contract.py.
(() => {
  const ATTRIBUTES = ["aria-label", "title", "alt", "placeholder"];
  // What Gradio says, and the words gradio-<name> for it; "(.+)" is what {what} stands for there.
  /** @type {[string, string][]} */
  const SAYS = [
    ["Upload file|File upload|Click to Upload|Click to upload or drop files", "upload"],
    ["Drop an? (?:audio|video|image) file here to upload", "upload"],
    ["Record audio", "microphone"],
    ["Capture from camera|Camera|grant webcam access", "camera"],
    ["Paste from Clipboard", "paste"],
    ["Select input device", "device"],
    ["start recording|Record", "record"],
    ["stop recording", "record-stop"],
    ["capture photo", "photo"],
    ["Play", "play"],
    ["[Pp]ause", "pause"],
    ["resume", "resume"],
    ["Clear", "clear"],
    ["undo|Undo", "undo"],
    ["Adjust volume", "volume"],
    ["Adjust playback speed to (.+)", "speed"],
    ["Skip backwards by (.+) seconds", "back"],
    ["Skip forward by (.+) seconds", "forward"],
    ["Reset audio|Reset video to initial value", "reset"],
    ["Trim audio to selection|Trim video to selection", "trim"],
    ["play-pause-replay-button", "play"],
    ["full-screen|Fullscreen", "full"],
    ["Thumbnail (.+) of .+", "picture"],
    ["Delete image", "delete-picture"],
    ["More tabs", "tabs"],
    ["chatbot conversation", "chat"],
    ["user's message: a component of type .+", "your-file"],
    ["bot's message: a component of type .+", "answer-sound"],
    ["user's message: (.*)", "you"],
    ["bot's message: (.*)", "answer"],
    ["(?:range slider|number input) for (.+)", "value"],
    ["(.+) icon", "sign"],
  ];
  const PATTERNS = SAYS.map(([said, name]) => ({ said: new RegExp(`^(?:${said})$`, "s"), name }));
  // What stands over a passing note of Gradio's; the note itself is ours.
  const TITLES = ["Error", "Warning", "Info"];
  /** @type {Record<string, string>} */
  const SIDES = { conversations: "conversations", settings: "voice-panel" };

  /** @param {string} said */
  const again = (said) => {
    for (const pattern of PATTERNS) {
      const found = said.match(pattern.said);
      if (found) return omniWords.say(`gradio-${pattern.name}`).replace("{what}", found[1] ?? "");
    }
    return said;
  };

  // By element and attribute: what Gradio said, and what stands there instead.
  /** @type {WeakMap<Element, Record<string, {from: string, to: string}>>} */
  const known = new WeakMap();
  /**
   * @param {Element} element
   * @param {string} name
   */
  const rename = (element, name) => {
    const value = element.getAttribute(name);
    if (!value) return;
    const before = known.get(element) ?? {};
    const was = before[name];
    const from = was && was.to === value ? was.from : value;
    const to = again(from);
    if (to === value) return;
    element.setAttribute(name, to);
    known.set(element, { ...before, [name]: { from, to } });
  };

  omniPage.whenChanged(() => {
    if (!window.gradio_config) return; // no words yet
    for (const name of ATTRIBUTES) {
      for (const element of document.querySelectorAll(`[${name}]`)) rename(element, name);
    }
    for (const title of document.querySelectorAll(omniGradio.SELECTORS.noteTitle)) {
      const said = title.textContent?.trim() ?? "";
      if (TITLES.includes(said)) title.textContent = omniWords.say(`gradio-${said.toLowerCase()}`);
    }
    for (const [side, word] of Object.entries(SIDES)) {
      const button = document.querySelector(`#${side} ${omniGradio.SELECTORS.sidebarSwitch}`);
      button?.setAttribute("aria-label", omniWords.say(word));
      button?.setAttribute("title", omniWords.say(word));
      button?.setAttribute("aria-expanded", String(omniGradio.sidebarIsOpen(side)));
    }
  });
})();
