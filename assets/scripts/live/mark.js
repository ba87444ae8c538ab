// That Talk is on, in the page's head and in the browser's tab, whatever is shown; and that a typed
// message waits until it has ended.
const omniLiveMark = (() => {
  const HINT_MS = 6000;
  const { textBox } = omniGradio.SELECTORS;
  let title = ""; // of the page, without the mark
  let timer = 0;

  const pill = () => {
    const mark = document.createElement("button");
    mark.type = "button";
    mark.id = "talk-mark";
    mark.className = "talk-mark";
    mark.addEventListener("click", () => {
      const there = document.getElementById(`${omniLiveStage.tab}-tab-button`);
      if (there && there.getAttribute("aria-selected") !== "true") there.click();
      omniLiveStage.restore();
    });
    return mark;
  };

  /** @param {string} state of the conversation; empty: it is off */
  const show = (state) => {
    const old = document.getElementById("talk-mark");
    if (!state) {
      old?.remove();
      document.getElementById("talk-hint")?.remove();
      if (title) document.title = title;
      title = "";
      return;
    }
    const mark = old ?? pill();
    if (!old) {
      const head = document.querySelector(".page-header");
      const place = head?.querySelector(".talk-place") ?? head ?? document.body;
      place.insertBefore(mark, head?.querySelector(":scope > .language") ?? null);
    }
    const text = omniWords.say("talk-on");
    mark.dataset.state = state;
    if (mark.textContent !== text) mark.textContent = text;
    mark.setAttribute("aria-label", omniWords.say("talk-back"));
    title ||= document.title;
    document.title = `● ${text} – ${title}`;
  };

  /** Say below the mark that a message waits. */
  const explain = () => {
    const mark = document.getElementById("talk-mark");
    document.getElementById("talk-hint")?.remove();
    const hint = document.createElement("div");
    hint.id = "talk-hint";
    hint.className = "talk-pop";
    hint.setAttribute("role", "alert");
    document.body.append(hint);
    hint.textContent = omniWords.say("talk-busy");
    const box = mark?.getBoundingClientRect();
    hint.style.top = `${(box?.bottom ?? 0) + 8}px`;
    hint.style.right = `${Math.max(8, window.innerWidth - (box?.right ?? window.innerWidth))}px`;
    clearTimeout(timer);
    timer = setTimeout(() => hint.remove(), HINT_MS);
  };

  /** @param {Event} event */
  const hold = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };

  document.addEventListener(
    "click",
    (event) => {
      const id = event.target instanceof Element ? event.target.closest("button")?.id : undefined;
      const [, tab, what] = id?.match(/^(\w+)-(send|live-start)$/) ?? [];
      if (!tab || !omniLive.on(tab)) return;
      hold(event);
      if (what === "send") explain();
      else omniLiveStage.restore();
    },
    true,
  );
  document.addEventListener(
    "keydown",
    (event) => {
      const box = event.target instanceof Element ? event.target.closest(textBox) : null;
      const tab = box?.closest('[id$="-text"]')?.id.replace(/-text$/, "");
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      if (!tab || !omniLive.on(tab)) return;
      hold(event);
      explain();
    },
    true,
  );
  return { show };
})();
