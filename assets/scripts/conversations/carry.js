// Conversations on their way from the browser to the server.
const omniCarry = (() => {
  const newName = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    return btoa(String.fromCharCode(...bytes))
      .replaceAll("+", "-")
      .replaceAll("/", "_");
  };

  /**
   * The zip of a conversation, without what the browser has lost.
   * @param {Conversation} record
   */
  const zipped = async (record) => {
    /** @type {{ name: string, data: Blob }[]} */
    const files = [];
    for (const { name, key } of record.files) {
      const data = key ? await omniStore.blob(key) : undefined;
      if (data) files.push({ name, data });
    }
    const there = new Set(files.map(({ name }) => name));
    const messages = JSON.parse(record.messages).map((/** @type {any} */ message) => ({
      ...message,
      sound: there.has(message.sound) ? message.sound : undefined,
      parts: message.parts.filter((/** @type {any} */ { file }) => !file || there.has(file)),
    }));
    const table = { format: "omni-conversation", version: 1, messages };
    const data = new Blob([JSON.stringify(table)]);
    return omniArchive.zip([{ name: "conversation.json", data }, ...files]);
  };

  /** @param {Blob} zip */
  const upload = async (zip) => {
    const form = new FormData();
    form.append("files", zip, "conversation.zip");
    const address = omniGradio.address("/gradio_api/upload");
    const answer = await fetch(address, { method: "POST", body: form });
    if (!answer.ok) throw new Error(await answer.text());
    const [path] = await answer.json();
    const meta = { _type: "gradio.FileData" };
    return { path, orig_name: "conversation.zip", size: zip.size, meta };
  };

  return { newName, zipped, upload };
})();
