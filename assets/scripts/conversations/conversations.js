// Conversations are kept in the browser after each change of a chat, and brought back: when the page
// is loaded again, when the server has lost it, when a person opens one (demos/conversations).
const omniConversations = (() => {
  const { say, warn } = omniSaid;
  const KEEP = "omni.keep"; // "off": nothing is written for good
  const MOST = 200; // conversations
  const MOST_BYTES = 500_000_000;
  const SEARCHED = 20_000; // characters of a text
  const ANSWER_MS = 180_000; // for the server to look at what is brought
  const AWAY_MS = 45_000; // a session lasts a minute without its page
  /**
   * @typedef {object} Told what the server says of a chat
   * @property {string} id "": it is empty
   * @property {string} secret
   * @property {{ messages: any[] }} table
   * @property {{ name: string, path: string, size: number }[]} files
   * @property {boolean} whole
   * @property {number} most bytes that the server takes back
   */
  /** @typedef {{ number: number, id: string, secret: string, back: boolean }} Wish */

  const keeps = () => omniPage.kept(KEEP) !== "off";
  /** @type {Record<string, () => void>} */
  const triggers = {}; // by tab
  /** @type {Map<string, number>} */
  const revisions = new Map(); // of conversations that this page has read or written
  /** @type {Map<string, string>} */
  const aliases = new Map(); // what the server calls a conversation whose name another page took
  /** @type {Map<string, string>} */
  const keys = new Map(); // of files by their place on the server
  /** @type {Map<string, Conversation>} */
  const brought = new Map(); // by tab: what the server was given, whose files it will name next

  const channel = "BroadcastChannel" in window ? new BroadcastChannel("omni.conversations") : null;
  const refresh = async () => {
    const ids = Object.keys(triggers).map((tab) => omniVisit.chat(tab)?.id ?? "");
    omniConversationList.show(await omniStore.all(), new Set(ids));
  };
  const changed = () => {
    channel?.postMessage("changed");
    return refresh();
  };
  channel?.addEventListener("message", refresh);

  /**
   * The files of a chat with the contents that are not kept yet.
   * @param {Told} data
   * @param {string} tab
   * @param {Conversation | undefined} before
   */
  const collect = async (data, tab, before) => {
    const former = brought.get(tab);
    brought.delete(tab);
    if (former && before) {
      // The server has what it was given under other places, in the same order.
      for (const [place, file] of before.files.entries()) {
        const now = data.files[place];
        if (now?.size === file.size && now.name === file.name) keys.set(now.path, file.key);
      }
    }
    const kept = new Set(before?.files.map(({ key }) => key));
    /** @type {Map<string, Blob>} */
    const blobs = new Map();
    const fetched = data.files.map(async ({ name, path, size }) => {
      const known = keys.get(path) ?? "";
      if (known && kept.has(known)) return { name, size, key: known };
      try {
        const answer = await fetch(omniGradio.address(`/gradio_api/file=${encodeURI(path)}`));
        if (!answer.ok) throw new Error(String(answer.status));
        const key = omniCarry.newName();
        blobs.set(key, await answer.blob());
        keys.set(path, key);
        return { name, size, key };
      } catch {
        warn("lost", {}, data.id);
        return { name, size, key: "" };
      }
    });
    return { files: await Promise.all(fetched), blobs };
  };

  /** Those that may go, the oldest first: none that stands in a chat. */
  const oldest = async () => {
    const shown = new Set(Object.keys(triggers).map((tab) => omniVisit.chat(tab)?.id));
    const all = (await omniStore.all()).sort((one, other) => one.saved - other.saved);
    const bytes = all.reduce((sum, record) => sum + record.bytes, 0);
    return { count: all.length, bytes, free: all.filter(({ id }) => !shown.has(id)) };
  };

  /** Keep within the bounds. */
  const prune = async () => {
    let { count, bytes, free } = await oldest();
    for (const record of free) {
      if (count <= MOST && bytes <= MOST_BYTES) break;
      await omniStore.remove(record.id);
      count -= 1;
      bytes -= record.bytes;
      warn("limit");
    }
  };

  /**
   * @param {Whole} whole
   * @param {number} expected
   */
  const write = async (whole, expected) => {
    if (!keeps() || (await omniStore.refused())) {
      if (keeps()) warn("refused");
      omniStore.putInPage(whole);
      return true;
    }
    const { free } = await oldest();
    for (;;) {
      try {
        return await omniStore.put(whole, expected);
      } catch (error) {
        // the browser's own limit
        const record = free.shift();
        const full = error instanceof DOMException && error.name === "QuotaExceededError";
        if (!full || !record) {
          console.warn("a conversation could not be kept:", error);
          warn("full", {}, whole.record.id);
          omniStore.putInPage(whole);
          return true;
        }
        if (record.id !== whole.record.id) await omniStore.remove(record.id);
        warn("limit");
      }
    }
  };

  /**
   * Another page went on with the same conversation: this one becomes another.
   * @param {Whole} whole
   * @param {string} server what the server calls it
   * @returns {Promise<Whole>}
   */
  const fork = async (whole, server) => {
    const id = omniCarry.newName();
    aliases.set(server, id);
    /** @type {Map<string, Blob>} */
    const blobs = new Map();
    const files = whole.record.files.map(async (file) => {
      const data = whole.blobs.get(file.key) ?? (await omniStore.blob(file.key));
      const key = data ? omniCarry.newName() : "";
      if (data) blobs.set(key, data);
      return { ...file, key };
    });
    warn("elsewhere", {}, id);
    return { record: { ...whole.record, id, files: await Promise.all(files) }, blobs };
  };

  /**
   * Keep what a chat holds now.
   * @param {string} tab
   * @param {Told} data
   */
  const take = async (tab, data) => {
    omniVisit.settle(tab);
    const { messages } = data.table;
    const server = data.id;
    const id = aliases.get(server) ?? server;
    if (!id || !messages.length) {
      if (id) await omniStore.remove(id); // its only question was taken back
      omniVisit.setChat(tab, null);
      return changed();
    }
    omniVisit.setChat(tab, { id, secret: data.secret }); // for a page loaded again before it is kept
    const before = await omniStore.get(id);
    const size = data.files.reduce((sum, file) => sum + file.size, 0);
    const most = Math.min(MOST_BYTES, data.most);
    if (size > most) warn("large", { megabytes: Math.floor(most / 1e6) }, id);
    const fits = size <= most;
    const { files, blobs } = await collect(fits ? data : { ...data, files: [] }, tab, before);
    const told = JSON.stringify(messages);
    if (before?.messages === told) return refresh(); // it was opened
    const parts = messages.flatMap((message) => message.parts);
    const heard = messages.map((message) => message.heard ?? "");
    const text = [...parts.map((part) => part.text ?? ""), ...heard].filter(Boolean).join("\n");
    const expected = revisions.get(id) ?? before?.revision ?? 0;
    const named = before?.named
      ? { title: before.title, kind: before.kind }
      : omniSaid.titled(messages);
    /** @type {Whole} */
    let whole = {
      record: {
        ...{ id, tab, ...named, named: before?.named ?? false, saved: Date.now() },
        ...{ bytes: (fits ? size : 0) + told.length, text: text.slice(0, SEARCHED) },
        ...{ messages: told, files, revision: expected + 1 },
      },
      blobs,
    };
    if (!(await write(whole, expected))) {
      whole = await fork(whole, server);
      // the contents have other names in the copy
      for (const [place, { path }] of data.files.entries()) {
        keys.set(path, whole.record.files[place]?.key ?? "");
      }
      await write(whole, 0);
      omniVisit.setChat(tab, { id: whole.record.id, secret: data.secret });
    }
    revisions.set(whole.record.id, whole.record.revision);
    await prune();
    return changed();
  };

  /** @type {Promise<unknown>} */
  let work = Promise.resolve(); // one after another

  let number = 0;
  /** @type {Record<string, { wish: Wish, file: unknown, answer: (state: string) => void }[]>} */
  const wishes = {}; // by tab: not yet on their way
  /** @type {Map<number, (state: string) => void>} */
  const answers = new Map();

  /**
   * Have the server bring a conversation into a chat; what came of it.
   * @param {string} tab
   * @param {{ id: string, secret: string, back: boolean }} wanted
   * @param {unknown} file
   * @returns {Promise<string>}
   */
  const ask = (tab, wanted, file) =>
    new Promise((answer) => {
      number += 1;
      wishes[tab] ??= [];
      wishes[tab].push({ wish: { number, ...wanted }, file, answer });
      setTimeout(answer, ANSWER_MS, "failed");
      triggers[tab]?.();
    });

  /**
   * @param {string} tab
   * @param {Conversation} record
   * @param {boolean} back the page comes back, and nobody has asked for it
   * @param {string} secret
   */
  const bring = async (tab, record, back, secret) => {
    const { id } = record;
    revisions.set(id, record.revision);
    brought.set(tab, record);
    let state = secret ? await ask(tab, { id, secret, back }, null) : "absent";
    if (state === "absent") {
      const hide = omniNote.mention(say("back"), ANSWER_MS);
      try {
        state = await ask(
          tab,
          { id, secret: "", back },
          await omniCarry.upload(await omniCarry.zipped(record)),
        );
        hide();
      } catch {
        state = "failed";
      }
    }
    if (state !== "shown") brought.delete(tab);
    if (state === "failed") omniNote.show(say("failed"));
    return state;
  };

  /**
   * What a chat showed before the page was loaded again, or went to sleep, unless it is there.
   * @param {string} tab
   */
  const back = async (tab) => {
    const chat = omniVisit.chat(tab);
    if (!chat) return;
    await omniSaid.ready;
    const record = await omniStore.get(chat.id);
    if (record) await bring(tab, record, true, chat.secret);
    else await ask(tab, { ...chat, back: true }, null); // the server alone may still have it
  };

  let away = 0;
  const awake = () => {
    if (document.hidden) away = Date.now();
    else if (away && Date.now() - away > AWAY_MS) Object.keys(triggers).forEach(back);
    if (!document.hidden) away = 0;
  };
  document.addEventListener("visibilitychange", awake);
  window.addEventListener("online", () => Object.keys(triggers).forEach(back));

  /** On a small screen the list lies over the chat. */
  const leave = () => {
    const found = document.querySelector(`#conversations ${omniGradio.SELECTORS.sidebarSwitch}`);
    const small = !window.matchMedia("(min-width: 64rem)").matches;
    if (small && found instanceof HTMLElement) found.click();
  };

  /** @param {string} tab */
  const empty = async (tab) => {
    const clear = omniPage.part(tab, "clear");
    if (clear) clear.click();
    else await ask(tab, { id: "", secret: "", back: false }, null); // a tab that was not seen yet
  };
  /** @param {string} id */
  const tabsOf = (id) => Object.keys(triggers).filter((tab) => omniVisit.chat(tab)?.id === id);

  return {
    say,
    locale: omniSaid.locale,
    keeps,
    /** @param {boolean} on */
    keep(on) {
      omniPage.keep(KEEP, on ? "on" : "off");
    },
    /** @param {string} text */
    speak(text) {
      if (!text) return;
      omniSaid.speak(text);
      refresh();
    },
    /**
     * @param {string} tab
     * @param {() => void} trigger
     */
    watch(tab, trigger) {
      const first = !triggers[tab];
      triggers[tab] = trigger;
      if (first) back(tab);
    },
    /**
     * @param {string} tab
     * @param {string} text
     */
    told(tab, text) {
      if (!text) return;
      work = work.then(() => take(tab, JSON.parse(text))).catch((error) => console.warn(error));
    },
    /**
     * The values of the event that brings a conversation.
     * @param {string} tab
     * @param {unknown[]} values
     */
    wish(tab, values) {
      const next = wishes[tab]?.shift();
      if (!next) return values;
      answers.set(next.wish.number, next.answer);
      return [next.file, JSON.stringify(next.wish), ...values.slice(2)];
    },
    /** @param {string} text */
    came(text) {
      if (!text) return;
      const { number: asked, state } = JSON.parse(text);
      answers.get(asked)?.(state);
      answers.delete(asked);
    },
    /** @param {string} id */
    async open(id) {
      const record = await omniStore.get(id);
      if (!record) return refresh();
      omniVisit.show(record.tab);
      leave();
      if (omniVisit.chat(record.tab)?.id !== id) await bring(record.tab, record, false, "");
    },
    /**
     * @param {string} id
     * @param {string} title
     */
    async rename(id, title) {
      const record = await omniStore.get(id);
      if (!record) return refresh();
      const named = { ...record, title, named: true };
      await write({ record: named, blobs: new Map() }, record.revision);
      return changed();
    },
    /** @param {string} id */
    async remove(id) {
      const removed = await omniStore.remove(id);
      if (!removed) return refresh();
      for (const tab of tabsOf(id)) await empty(tab);
      const { record } = removed;
      const title = record.title || say(record.kind);
      const undo = async () => {
        await write(removed, 0);
        await changed();
      };
      omniNote.show(say("deleted", { title }), [{ label: say("undo"), act: undo }]);
      return changed();
    },
    deleteAll() {
      const act = async () => {
        await omniStore.clear();
        for (const tab of Object.keys(triggers)) if (omniVisit.chat(tab)) await empty(tab);
        await changed();
        omniNote.show(say("all-deleted"));
      };
      omniNote.show(say("delete-all-ask"), [
        { label: say("no"), act: () => {} },
        { label: say("delete-all"), act },
      ]);
    },
  };
})();
