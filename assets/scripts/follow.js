// The end of a chat stays in sight while it grows, until the person scrolls up, and again from their
// next message on. Gradio's own chat follows only where its end was nearly in sight before, and a
// message with a picture is higher than that.
(() => {
  const { SELECTORS } = omniGradio;
  const NEARLY = 8; // px from the end that are the end

  /**
   * @param {Element} frame what is scrolled
   * @param {Element} rows what grows in it
   */
  const follow = (frame, rows) => {
    let [follows, questions] = [true, 0];
    let { scrollTop: top, scrollHeight: height } = frame;
    const grown = () => {
      if (!rows.isConnected) return leave(); // the chat was emptied, its next rows are others
      const now = rows.querySelectorAll(SELECTORS.question).length;
      follows ||= now > questions;
      questions = now;
      if (follows) frame.scrollTop = frame.scrollHeight;
      ({ scrollTop: top, scrollHeight: height } = frame);
    };
    const scrolled = () => {
      const left = frame.scrollHeight - frame.scrollTop - frame.clientHeight;
      // Up, and not because what is there became shorter; the first pixel of a slow movement counts.
      if (frame.scrollTop < top && frame.scrollHeight >= height) follows = false;
      else if (left <= NEARLY) follows = true;
      ({ scrollTop: top, scrollHeight: height } = frame);
    };
    const sizes = new ResizeObserver(grown); // also of pictures that come later
    const leave = () => {
      sizes.disconnect();
      frame.removeEventListener("scroll", scrolled);
    };
    for (const one of [frame, rows]) sizes.observe(one);
    frame.addEventListener("scroll", scrolled, { passive: true });
  };

  omniPage.whenChanged(() => {
    /** @type {NodeListOf<HTMLElement>} */
    const found = document.querySelectorAll(`${SELECTORS.rows}:not([data-followed])`);
    for (const rows of found) {
      rows.dataset.followed = "true";
      if (rows.parentElement) follow(rows.parentElement, rows);
    }
  });
})();
