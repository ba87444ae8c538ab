// That Talk is on, in the page's head and in the browser's tab, whatever is shown; and that a typed
// message waits until it has ended.
const omniLiveMark = (() => {
  const { textBox } = omniGradio.SELECTORS;
  let title = ""; // of the page, without the mark

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
      if (title) document.title = title;
      title = "";
      return;
    }
    const mark = old ?? pill();
    if (!old) {
      (document.querySelector(".head-tools") ?? document.body).prepend(mark);
    }
    const text = omniWords.say("talk-on");
    mark.dataset.state = state;
    if (mark.textContent !== text) mark.textContent = text;
    mark.setAttribute("aria-label", omniWords.say("talk-back"));
    title ||= document.title;
    document.title = `● ${text} – ${title}`;
  };

  /** A message waits, and why. @param {string} tab */
  const explain = (tab) => {
    const composer = omniPage.part(tab, "composer");
    const offer = { words: omniWords.say("talk-end"), act: () => omniLive.stop(tab) };
    if (composer) omniNotice.tell(composer, omniWords.say("talk-busy"), offer);
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
      if (what === "send") explain(tab);
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
      explain(tab);
    },
    true,
  );
  return { show };
})();
