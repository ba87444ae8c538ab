// What sounds on the page: one thing at a time, whoever plays it, and all of it ends with Stop or Esc.
const omniSounding = (() => {
  const MARK = "sounding"; // of the body, while something sounds: Stop is there then
  /** @type {Map<unknown, () => void>} */
  const playing = new Map(); // by who plays it: what ends it

  const show = () => {
    document.body.dataset[MARK] = String(playing.size > 0);
  };

  /** @param {unknown} [but] who may go on */
  const end = (but) => {
    for (const [player, stop] of [...playing]) {
      if (player === but) continue;
      playing.delete(player);
      stop();
    }
    show();
  };

  /**
   * Somebody begins to sound; everybody else ends.
   * @param {unknown} player
   * @param {() => void} stop
   */
  const begin = (player, stop) => {
    playing.set(player, stop);
    end(player);
  };

  /** @param {unknown} player */
  const over = (player) => {
    if (playing.delete(player)) show();
  };

  /** @param {HTMLMediaElement} element */
  const silent = (element) => element.muted || element.srcObject !== null; // a camera's picture

  /** @type {WeakSet<HTMLMediaElement>} */
  const known = new WeakSet();
  /** @param {HTMLMediaElement} element */
  const follow = (element) => {
    if (silent(element)) return;
    begin(element, () => element.pause());
    if (known.has(element)) return;
    known.add(element);
    for (const name of ["pause", "ended", "emptied"]) {
      element.addEventListener(name, () => over(element));
    }
  };

  // Players in the bubbles are in shadow trees, from which no event comes; one that starts by
  // itself is not asked to.
  const start = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    if (omniGradio.holder(this).closest(".talk")) omniVolume.apply(this);
    follow(this);
    return start.call(this);
  };
  /** @param {Event} event */
  const hear = ({ target }) => {
    if (target instanceof HTMLMediaElement) follow(target);
  };
  document.addEventListener("play", hear, true);

  return { begin, over, end: () => end() };
})();
