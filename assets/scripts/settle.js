// The voice panel starts open where there is room for it beside the page, closed on a phone.
(() => {
  if (!window.matchMedia("(min-width: 64rem)").matches) return;
  let tries = 100; // 10 s
  const timer = setInterval(() => {
    const panel = document.querySelector(".sidebar");
    if (panel?.classList.contains("open") || --tries === 0) clearInterval(timer);
    else panel?.querySelector(".toggle-button")?.click();
  }, 100);
})();

// Many changes in one instant become one event a moment later (see demos/base/debounce.py).
window.omniSettle = (() => {
  const SETTLE_MS = 20;
  const triggers = {};
  const due = {};

  const tell = (name) => {
    if (!triggers[name]) return; // watch tells it
    due[name] = false;
    triggers[name]();
  };

  return {
    watch(name, trigger) {
      triggers[name] = trigger;
      if (due[name]) tell(name);
    },
    changed(name) {
      if (due[name]) return;
      due[name] = true;
      setTimeout(tell, SETTLE_MS, name);
    },
  };
})();

// Work on the server that only counts while nothing newer of its name has begun in the page.
window.omniNewest = (() => {
  const numbers = {};

  return {
    begin(name) {
      return (numbers[name] = (numbers[name] ?? 0) + 1);
    },
    number: (name) => numbers[name] ?? 0,
  };
})();
