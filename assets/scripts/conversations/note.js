// A sentence at the lower edge of the page, with one thing to do about it.
const omniNote = (() => {
  const SHOWN_MS = 10_000;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {HTMLElement | undefined} */
  let shown;
  const find = () => {
    const found = document.getElementById("page-note-bar");
    if (found) return found;
    const made = document.createElement("div");
    made.id = "page-note-bar";
    made.setAttribute("role", "status");
    (document.querySelector("main") ?? document.body).append(made);
    return made;
  };

  const hide = () => {
    clearTimeout(timer);
    find().replaceChildren();
  };

  /**
   * @param {string} text
   * @param {{ label: string, act: () => void }[]} [choices]
   * @param {number} [ms] until it goes by itself
   * @returns {() => void} takes it away, unless another stands there now
   */
  const show = (text, choices = [], ms = SHOWN_MS) => {
    clearTimeout(timer);
    const said = document.createElement("span");
    said.textContent = text;
    const buttons = choices.map(({ label, act }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", () => {
        hide();
        act();
      });
      return button;
    });
    find().replaceChildren(said, ...buttons);
    buttons[0]?.focus({ preventScroll: true });
    timer = setTimeout(hide, ms);
    shown = said;
    return () => {
      if (shown === said) hide();
    };
  };

  /**
   * Say what goes on, unless a question waits for its answer.
   * @param {string} text
   * @param {number} ms
   * @returns {() => void} as of show
   */
  const mention = (text, ms) => (find().querySelector("button") ? () => {} : show(text, [], ms));

  return { show, mention };
})();
