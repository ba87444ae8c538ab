// Many changes in one instant become one event a moment later (see demos/base/debounce.py).
const omniSettle = (() => {
  const SETTLE_MS = 20;
  /** @type {Record<string, () => void>} */
  const triggers = {};
  /** @type {Record<string, boolean>} */
  const due = {};

  /** @param {string} name */
  const tell = (name) => {
    const trigger = triggers[name];
    if (!trigger) return; // watch tells it
    due[name] = false;
    trigger();
  };

  return {
    /**
     * @param {string} name
     * @param {() => void} trigger
     */
    watch(name, trigger) {
      triggers[name] = trigger;
      if (due[name]) tell(name);
    },
    /** @param {string} name */
    changed(name) {
      if (due[name]) return;
      due[name] = true;
      setTimeout(tell, SETTLE_MS, name);
    },
  };
})();
