// All that our scripts know of Gradio's own page: its selectors and class names, its files, its
// client's functions. None of this is promised by Gradio: tests/browser/test_gradio_contract.py
// looks for each of it in the page, and says which one a new version of Gradio no longer has.
const omniGradio = (() => {
  const SELECTORS = {
    sidebar: ".sidebar",
    sidebarSwitch: ".toggle-button",
    grantCamera: ".wrap > div[title] > button", // before it may be used
    folded: ".gr-accordion[id]",
    foldedSwitch: "button.label-wrap",
    source: ".source-selection button", // of an input: files, then microphone or camera
    fileInput: "input[type=file]",
    clearInput: ".top-panel > button:last-of-type",
    // What an input shows when it holds something: its player, its pictures.
    held: '[data-testid="waveform-controls"], .thumbnail-item, .preview',
    textBox: "textarea",
    record: ".record-button",
    recordStop: ".stop-button",
    recordStopPaused: ".stop-button-paused",
    noteTitle: ".toast-title", // of a passing note
    tab: '[role="tab"]',
    tabList: '[role="tablist"]',
    openList: '[role="listbox"], [role="dialog"]', // that Escape closes
    player: "audio",
    rows: ".message-wrap", // all messages of a chat; what is around it is scrolled
    row: ".message-row", // a message of a chat; its buttons stand behind it
    question: ".user-row",
    rowButtons: ".message-buttons",
    rowText: ".message-content",
    buttonPlace: ".message-buttons .icon-button-wrapper",
    leftButtonPlace: ".message-buttons-left .icon-button-wrapper",
    picture: ".image-container button:has(img)", // that enlarges it
  };
  const OPEN = "open";
  const DARK = "dark"; // of the body
  // Its core module, whose name has a hash; it is among what the page has already loaded.
  const CORE = /\/assets\/core-[^/]+\.js$/;

  /** The address of Gradio's core module, if it is found. */
  const core = () => {
    /** @type {NodeListOf<HTMLLinkElement>} */
    const links = document.querySelectorAll("link[rel=modulepreload]");
    const names = [
      ...[...links].map((link) => link.href),
      ...performance.getEntriesByType("resource").map((entry) => entry.name),
    ];
    return names.find((name) => CORE.test(name));
  };

  /**
   * Turn all of Gradio's words into another language. It has no public call for it: its own
   * settings use this function of its core module, which is imported here from the same address.
   * @param {string} locale
   */
  const changeLocale = async (locale) => {
    const address = core();
    if (address) (await import(address)).changeLocale(locale);
  };

  // Gradio sets the class when it starts and when the system's scheme changes.
  const dark = () => document.body.classList.contains(DARK);
  /** @param {boolean} on */
  const setDark = (on) => document.body.classList.toggle(DARK, on);
  /** @param {() => void} act */
  const onDark = (act) => {
    new MutationObserver(act).observe(document.body, { attributeFilter: ["class"] });
  };

  // How many uploads have reached the server; a recorder shows its sound before that.
  const UPLOAD = /\/upload(\?|$)/;
  let uploaded = 0;
  new PerformanceObserver((list) => {
    for (const { name } of list.getEntries()) if (UPLOAD.test(name)) uploaded++;
  }).observe({ type: "resource" });
  const uploads = () => uploaded;

  /** @param {Element} element a sidebar, or the button of a folded part */
  const isOpen = (element) => element.classList.contains(OPEN);
  /** @param {string} side the id of a sidebar */
  const sidebarIsOpen = (side) => {
    const found = document.getElementById(side);
    return found !== null && isOpen(found);
  };

  /**
   * An address of ours, below the path that the app is served under; the host is the page's own,
   * whatever a proxy lets the server believe.
   * @param {string} path
   */
  const address = (path) => {
    const root = new URL(window.gradio_config?.root ?? "/", location.href).pathname;
    return new URL(root.replace(/\/$/, "") + path, location.origin);
  };

  // All words of the page by the names of their languages, as they were given to Gradio.
  const translations = () => window.gradio_config?.i18n_translations ?? {};

  /**
   * The rows of a chat before a button, the last of which it belongs to.
   * @param {Element} chat
   * @param {Element} button
   */
  const rowsBefore = (chat, button) => {
    const all = [...chat.querySelectorAll(`${SELECTORS.row}, ${SELECTORS.rowButtons}`)];
    const buttons = button.closest(SELECTORS.rowButtons);
    const before = buttons ? all.slice(0, all.indexOf(buttons)) : all;
    return before.filter((one) => one.matches(SELECTORS.row));
  };

  /**
   * The element of the page that holds a player: players in the bubbles are in shadow trees.
   * @param {HTMLMediaElement} player
   */
  const holder = (player) => {
    const tree = player.getRootNode();
    return tree instanceof ShadowRoot ? tree.host : player;
  };

  // Its gallery mirrors what the camera takes, and has no option for it as its other inputs have:
  // it draws the picture as it is, and once more, mirrored, over it. The second is left out.
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  /** @param {any[]} drawn a picture and its place, in any of the forms that there are */
  CanvasRenderingContext2D.prototype.drawImage = function (...drawn) {
    const mirrored = this.getTransform().a < 0;
    if (!(mirrored && drawn[0] instanceof HTMLVideoElement)) Reflect.apply(draw, this, drawn);
  };

  // A bubble's player that goes away stops fetching its sound, and nobody catches that: no error.
  window.addEventListener("unhandledrejection", (event) => {
    const { reason } = event;
    if (reason instanceof DOMException && reason.name === "AbortError") event.preventDefault();
  });

  return {
    SELECTORS,
    core,
    changeLocale,
    dark,
    setDark,
    onDark,
    uploads,
    isOpen,
    sidebarIsOpen,
    address,
    translations,
    rowsBefore,
    holder,
  };
})();
