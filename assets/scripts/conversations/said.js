// What is said about conversations: the page's words for them, warnings, titles.
const omniSaid = (() => {
  const TITLE = 60; // characters
  const WORDS_MS = 5_000; // until it goes on without the page's words
  /** @type {Record<string, string>} */
  const KINDS = { image: "picture", video: "clip", audio: "sound" }; // their words
  /** @type {Record<string, string>} */
  let words = {};
  let locale = "en";
  /** @type {() => void} */
  let spoken = () => {};
  const ready = new Promise((resolve) => {
    spoken = () => resolve(null);
    setTimeout(spoken, WORDS_MS);
  });
  /** @param {string} key @param {Record<string, string | number>} [values] */
  const say = (key, values = {}) => {
    let text = words[key] ?? "";
    for (const [name, value] of Object.entries(values)) {
      text = text.replaceAll(`{${name}}`, () => String(value));
    }
    return text;
  };

  /** @type {Set<string>} */
  const warned = new Set();
  /**
   * A sentence, once for each cause.
   * @param {string} key
   * @param {Record<string, string | number>} [values]
   * @param {string} [about]
   */
  const warn = (key, values, about = "") => {
    if (warned.has(key + about)) return;
    warned.add(key + about);
    ready.then(() => omniNote.show(say(key, values)));
  };

  /** @param {any} message */
  const typing = ({ parts }) => parts.some((/** @type {any} */ { text }) => text?.trim());
  /** @param {any[]} messages */
  const titled = (messages) => {
    const asked = messages.filter(({ role }) => role === "user");
    const parts = [...asked, ...messages].flatMap((message) => message.parts);
    const typed = parts.find((part) => part.type === "text" && part.text.trim())?.text ?? "";
    const heard = asked.find((message) => message.heard)?.heard ?? "";
    const text = asked.some(typing) ? typed : heard || typed;
    const line = text.replace(/\s+/g, " ").trim();
    const first = parts.find((part) => part.type !== "text")?.type ?? "";
    const kind = KINDS[first] ?? "untitled";
    const cut = [...line];
    return { title: cut.length > TITLE ? `${cut.slice(0, TITLE).join("")}…` : line, kind };
  };

  /** @param {string} text the page's words, as JSON */
  const speak = (text) => {
    ({ words, locale } = JSON.parse(text));
    spoken();
  };

  return { say, warn, titled, speak, ready, locale: () => locale };
})();
