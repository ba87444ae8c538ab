// The voice panel starts open where there is room for it beside the page, closed on a phone.
(() => {
  const LOOK_MS = 100;
  if (!window.matchMedia("(min-width: 64rem)").matches) return;
  let tries = 100; // 10 s
  const timer = setInterval(() => {
    if (omniGradio.sidebarIsOpen() || --tries === 0) clearInterval(timer);
    else omniGradio.sidebarSwitch()?.click();
  }, LOOK_MS);
})();
