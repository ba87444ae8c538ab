// What several of our scripts need: the parts of a tab, what is visible, what the browser keeps.
const omniPage = (() => {
  const CHANGED_MS = 80;

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
   * Act now and whenever the page has changed: an answer changes it all the time, so not each time.
   * @param {() => void} act
   */
  const whenChanged = (act) => {
    let due = false;
    const look = () => {
      due = false;
      act();
    };
    new MutationObserver(() => {
      if (!due) setTimeout(look, CHANGED_MS);
      due = true;
    }).observe(document.documentElement, { childList: true, subtree: true, characterData: true });
    if (document.body) act();
  };

  /**
   * What a look finds, as soon as it does; null: it found nothing in all the time.
   * @template T
   * @param {() => T | null | undefined | false | 0} look
   * @param {number} [longest] ms
   * @returns {Promise<T | null>}
   */
  const until = async (look, longest = 10_000) => {
    const end = performance.now() + longest;
    while (performance.now() < end) {
      const found = look();
      if (found) return found;
      await new Promise((done) => setTimeout(done, 20));
    }
    return null;
  };

  return { part, shown, kept, keep, whenChanged, until };
})();
