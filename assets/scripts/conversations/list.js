// The list of conversations: grouped by day, searched, each to be opened, named and deleted.
const omniConversationList = (() => {
  const DAY_MS = 86_400_000;
  const SNIPPET = 40; // characters before and after what was searched for
  /** @type {Conversation[]} */
  let records = [];
  /** @type {Set<string>} */
  let shown = new Set(); // ids of those that stand in a chat of this page
  let renaming = "";
  let query = "";

  /** @param {string} key @param {Record<string, string | number>} [values] */
  const say = (key, values) => omniConversations.say(key, values);
  /** @param {Conversation} record */
  const titleOf = (record) => record.title || say(record.kind || "untitled");

  /** @param {number} time */
  const dayOf = (time) => {
    const midnight = new Date().setHours(0, 0, 0, 0);
    const ago = Math.ceil((midnight - time) / DAY_MS);
    const locale = omniConversations.locale();
    if (ago < 2) {
      const named = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
      const word = named.format(-Math.max(ago, 0), "day");
      return word.charAt(0).toLocaleUpperCase(locale) + word.slice(1);
    }
    /** @type {Intl.DateTimeFormatOptions} */
    const form = ago < 7 ? { weekday: "long" } : { year: "numeric", month: "long", day: "numeric" };
    return new Intl.DateTimeFormat(locale, form).format(time);
  };

  /**
   * @template {keyof HTMLElementTagNameMap} K
   * @param {K} name
   * @param {string} className
   * @param {string} [text]
   */
  const make = (name, className, text) => {
    const element = document.createElement(name);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  /**
   * @param {string} action
   * @param {string} label
   * @param {() => void} act
   */
  const button = (action, label, act) => {
    const made = make("button", `conversation-${action}`);
    made.type = "button";
    made.title = label;
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };

  /** @param {Conversation} record */
  const nameBox = (record) => {
    const box = make("input", "conversation-name");
    box.value = titleOf(record);
    box.setAttribute("aria-label", say("name"));
    box.maxLength = 120;
    const end = (/** @type {boolean} */ keep) => {
      if (renaming !== record.id) return;
      renaming = "";
      const title = box.value.trim();
      if (keep && title && title !== titleOf(record)) omniConversations.rename(record.id, title);
      render();
      /** @type {HTMLElement | null | undefined} */
      const open = find()?.querySelector(`[data-id="${CSS.escape(record.id)}"] button`);
      open?.focus();
    };
    box.addEventListener("keydown", (event) => {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault(); // Escape stops no answer here
      end(event.key === "Enter");
    });
    box.addEventListener("blur", () => end(true));
    requestAnimationFrame(() => {
      box.focus();
      box.select();
    });
    return box;
  };

  /**
   * Where in the text the words stand that were searched for, if not in the title.
   * @param {Conversation} record
   */
  const snippet = (record) => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const text = record.text.toLowerCase();
    const missing = words.find((word) => !titleOf(record).toLowerCase().includes(word));
    const place = missing ? text.indexOf(missing) : -1;
    if (place < 0 || text.length !== record.text.length) return "";
    const [from, to] = [Math.max(0, place - SNIPPET), place + SNIPPET];
    const cut = record.text.slice(from, to).replace(/\s+/g, " ").trim();
    return `${from ? "…" : ""}${cut}${to < text.length ? "…" : ""}`;
  };

  /** @param {Conversation} record */
  const row = (record) => {
    const item = make("li", "conversation");
    item.dataset.id = record.id;
    item.dataset.tab = record.tab;
    if (renaming === record.id) {
      item.append(nameBox(record));
      return item;
    }
    const title = titleOf(record);
    const open = make("button", "conversation-open");
    open.type = "button";
    open.title = title;
    if (shown.has(record.id)) open.setAttribute("aria-current", "true");
    open.append(make("span", "conversation-title", title));
    const found = query ? snippet(record) : "";
    if (found) open.append(make("small", "conversation-found", found));
    open.addEventListener("click", () => omniConversations.open(record.id));
    const rename = button("rename", say("rename", { title }), () => {
      renaming = record.id;
      render();
    });
    const remove = button("delete", say("delete", { title }), () => {
      omniConversations.remove(record.id);
    });
    item.append(open, rename, remove);
    return item;
  };

  /** @param {Conversation} record */
  const fits = (record) => {
    const all = `${titleOf(record)}\n${record.text}`.toLowerCase();
    return query
      .toLowerCase()
      .split(/\s+/)
      .every((word) => all.includes(word));
  };

  const find = () => document.getElementById("conversations-list");

  const render = () => {
    const place = find();
    if (!place) return;
    const sorted = records.filter(fits).sort((one, other) => other.saved - one.saved);
    /** @type {HTMLElement[]} */
    const made = [];
    let day = "";
    for (const record of sorted) {
      if (dayOf(record.saved) !== day) {
        day = dayOf(record.saved);
        made.push(make("h3", "conversation-day", day), make("ul", "conversation-rows"));
      }
      made.at(-1)?.append(row(record));
    }
    if (!made.length) {
      made.push(make("p", "conversation-none", say(records.length ? "none-found" : "empty")));
    }
    place.replaceChildren(...made);
  };

  document.addEventListener("input", ({ target }) => {
    const box = target instanceof Element && target.closest("#conversations-search");
    if (!box || !(target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement))
      return;
    query = target.value.trim();
    render();
  });

  return {
    /**
     * @param {Conversation[]} now
     * @param {Set<string>} ids
     */
    show(now, ids) {
      records = now;
      shown = ids;
      if (!renaming) render();
    },
    render,
  };
})();
