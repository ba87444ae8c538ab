// The captions of Talk: what was heard of the person, and what is said, while it is said.
const omniLiveCaptions = (() => {
  const RATE = 24000; // of the answer's sound
  const AHEAD_S = 0.25; // a word stands there a little before it is heard
  const KEPT = 12; // lines
  /** @typedef {{answer: number, waiting: {text: string, at: number}[], line: HTMLElement}} Said */
  /** @type {Said | null} */
  let said = null;

  /** @param {string} kind @param {number} turn */
  const newLine = (kind, turn) => {
    const line = document.createElement("p");
    line.className = `talk-line ${kind}`;
    line.dataset.turn = String(turn);
    const words = document.createElement("span");
    if (kind === "heard") {
      const mark = document.createElement("small");
      mark.textContent = `${omniWords.say("talk-heard")} `;
      line.append(mark);
    }
    line.append(words);
    return line;
  };

  /** @param {HTMLElement} line @param {HTMLElement | null} before */
  const put = (line, before) => {
    const box = omniLiveStage.captions();
    box.insertBefore(line, before);
    while (box.childElementCount > KEPT) box.firstElementChild?.remove();
    box.scrollTop = box.scrollHeight;
  };

  /** @param {number} answer */
  const of = (answer) => {
    if (said?.answer === answer) return said;
    said = { answer, waiting: [], line: newLine("said", answer) };
    put(said.line, null);
    return said;
  };

  /** Show what is due. @param {number} answer @param {number} samples played */
  const played = (answer, samples) => {
    if (said?.answer !== answer) return;
    const due = samples + AHEAD_S * RATE;
    while (said.waiting[0] && said.waiting[0].at <= due) {
      const words = said.line.lastElementChild;
      if (words) words.textContent += said.waiting.shift()?.text ?? "";
    }
    const box = omniLiveStage.captions();
    box.scrollTop = box.scrollHeight;
  };

  /** A piece of the answer. @param {{answer: number, text: string, at: number}} piece */
  const add = ({ answer, text, at }) => {
    of(answer).waiting.push({ text, at });
    played(answer, 0);
  };

  /** What was heard stands above the answer to it. @param {{text: string, answer: number}} message */
  const heard = ({ text, answer }) => {
    const line = newLine("heard", answer);
    const words = line.lastElementChild;
    if (words) words.textContent = text;
    /** @type {NodeListOf<HTMLElement>} */
    const lines = omniLiveStage.captions().querySelectorAll(".said");
    const before = [...lines].find((one) => Number(one.dataset.turn) >= answer);
    put(line, before ?? null);
  };

  /** The answer was interrupted: what was not heard of it is not shown. */
  const cut = () => {
    if (said) said.waiting.length = 0;
  };

  const clear = () => {
    said = null;
    omniLiveStage.captions().replaceChildren();
  };

  return { add, played, heard, cut, clear };
})();
