// What several of our scripts need: the parts of a tab, what is visible, what the browser keeps.
const omniPage = (() => {
  /**
   * A part of a tab, by the end of its id.
   * @param {string} tab
   * @param {string} name
   */
  const part = (tab, name) => document.getElementById(`${tab}-${name}`);

  /** @param {Element} element */
  const visible = (element) =>
    element.checkVisibility?.() ?? (element instanceof HTMLElement && element.offsetParent != null);

  /**
   * The first visible element of a selector.
   * @param {string} selector
   */
  const shown = (selector) => {
    /** @type {NodeListOf<HTMLElement>} */
    const found = document.querySelectorAll(selector);
    return [...found].find(visible);
  };

  /**
   * What an earlier visit kept under a name; null: nothing, or a browser that keeps nothing.
   * @param {string} name
   */
  const kept = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  };

  /**
   * @param {string} name
   * @param {string} value
   */
  const keep = (name, value) => {
    try {
      localStorage.setItem(name, value);
    } catch {
      // it holds until the page is closed
    }
  };

  /**
   * Act now and whenever the page has changed, once for all that changes before it is drawn.
   * @param {() => void} act
   */
  const whenChanged = (act) => {
    let due = false;
    const look = () => {
      due = false;
      act();
    };
    new MutationObserver(() => {
      if (!due) requestAnimationFrame(look);
      due = true;
    }).observe(document.documentElement, { childList: true, subtree: true, characterData: true });
    if (document.body) act();
  };

  return { part, shown, kept, keep, whenChanged };
})();
