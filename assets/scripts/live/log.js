// What happened lately in Live, for measurements.
const omniLiveLog = (() => {
  const KEPT = 1000;
  /** @typedef {{at: number, tab: string, type: string, [more: string]: unknown}} Entry */
  /** @type {Entry[]} */
  const entries = []; // at: ms of the page's clock

  /**
   * @param {string} tab
   * @param {string} type
   * @param {object} more
   * @param {number} at
   */
  const note = (tab, type, more = {}, at = performance.now()) => {
    entries.push({ at, tab, type, ...more });
    if (entries.length > KEPT) entries.shift();
  };

  /**
   * What the browser refused.
   * @param {string} tab
   * @param {unknown} error
   */
  const problem = (tab, error) => {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    note(tab, "problem", { name, message });
  };

  return { entries, note, problem };
})();
