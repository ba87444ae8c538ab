// Where conversations are kept: the browser's database, or where that cannot be, the page alone.
/**
 * @typedef {object} KeptFile
 * @property {string} name in the zip
 * @property {number} size in bytes
 * @property {string} key of its content; "": it is not kept
 */
/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} tab
 * @property {string} title the first words, or what the person named it; "": it has none
 * @property {boolean} named whether the person did
 * @property {string} kind of what it begins with where it has no words
 * @property {number} saved when it was last changed (ms)
 * @property {number} bytes
 * @property {string} text all of it, to be searched
 * @property {string} messages as conversation.json has them
 * @property {KeptFile[]} files
 * @property {number} revision grows with every change
 */
/** @typedef {{ record: Conversation, blobs: Map<string, Blob> }} Whole */
const omniStore = (() => {
  const NAME = "omni";
  const [RECORDS, MEDIA] = ["conversations", "media"];
  /** @type {Map<string, Conversation>} */
  const pageRecords = new Map();
  /** @type {Map<string, Blob>} */
  const pageMedia = new Map();

  /**
   * @template T
   * @param {IDBRequest<T>} request
   * @returns {Promise<T>}
   */
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  /** @param {IDBTransaction} transaction */
  const finished = (transaction) =>
    new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });

  /** @returns {Promise<IDBDatabase | null>} */
  const open = async () => {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(RECORDS, { keyPath: "id" });
        request.result.createObjectStore(MEDIA);
      };
      const opened = await done(request);
      opened.onversionchange = () => opened.close(); // a newer page of ours
      return opened;
    } catch {
      return null; // a private window, or a browser that was told to keep nothing
    }
  };
  const opening = open();

  /**
   * @param {IDBTransactionMode} mode
   * @returns {Promise<{ transaction: IDBTransaction, records: IDBObjectStore, media: IDBObjectStore } | null>}
   */
  const begin = async (mode) => {
    const database = await opening;
    if (!database) return null;
    const transaction = database.transaction([RECORDS, MEDIA], mode);
    return {
      transaction,
      records: transaction.objectStore(RECORDS),
      media: transaction.objectStore(MEDIA),
    };
  };

  /** @param {string} id */
  const get = async (id) => {
    const held = pageRecords.get(id);
    if (held) return held;
    const stores = await begin("readonly");
    /** @type {Conversation | undefined} */
    const record = stores ? await done(stores.records.get(id)) : undefined;
    return record;
  };

  const all = async () => {
    const stores = await begin("readonly");
    /** @type {Conversation[]} */
    const kept = stores ? await done(stores.records.getAll()) : [];
    return [...kept.filter(({ id }) => !pageRecords.has(id)), ...pageRecords.values()];
  };

  /** @param {string} key */
  const blob = async (key) => {
    const held = pageMedia.get(key);
    if (held) return held;
    const stores = await begin("readonly");
    /** @type {Blob | undefined} */
    const found = stores ? await done(stores.media.get(key)) : undefined;
    return found;
  };

  /** @param {string} id */
  const forgetInPage = (id) => {
    for (const { key } of pageRecords.get(id)?.files ?? []) pageMedia.delete(key);
    pageRecords.delete(id);
  };

  /**
   * Until the page is closed.
   * @param {Whole} whole
   */
  const putInPage = ({ record, blobs }) => {
    const keys = new Set(record.files.map(({ key }) => key));
    for (const { key } of pageRecords.get(record.id)?.files ?? []) {
      if (!keys.has(key)) pageMedia.delete(key);
    }
    pageRecords.set(record.id, record);
    for (const [key, data] of blobs) pageMedia.set(key, data);
  };

  /**
   * For good. False: another page has changed the conversation since revision `expected`; nothing
   * happens then.
   * @param {Whole} whole `blobs`: those that are not there yet
   * @param {number} expected
   */
  const put = async ({ record, blobs }, expected) => {
    const stores = await begin("readwrite");
    if (!stores) return false;
    const { transaction, records, media } = stores;
    const over = finished(transaction);
    over.catch(() => {}); // whoever waits for it is told
    /** @type {Conversation | undefined} */
    const before = await done(records.get(record.id));
    if (before && before.revision !== expected) {
      await over;
      return false;
    }
    const keys = new Set(record.files.map(({ key }) => key));
    for (const { key } of before?.files ?? []) if (!keys.has(key)) media.delete(key);
    for (const [key, data] of blobs) media.put(data, key);
    records.put(record);
    await over;
    forgetInPage(record.id);
    return true;
  };

  /**
   * What was removed, so that it can come back.
   * @param {string} id
   * @returns {Promise<Whole | null>}
   */
  const remove = async (id) => {
    const record = await get(id);
    if (!record) return null;
    /** @type {Map<string, Blob>} */
    const blobs = new Map();
    for (const { key } of record.files) {
      const data = key ? await blob(key) : undefined;
      if (data) blobs.set(key, data);
    }
    forgetInPage(id);
    const stores = await begin("readwrite");
    if (stores) {
      const over = finished(stores.transaction);
      stores.records.delete(id);
      for (const { key } of record.files) stores.media.delete(key);
      await over;
    }
    return { record, blobs };
  };

  const clear = async () => {
    pageRecords.clear();
    pageMedia.clear();
    const stores = await begin("readwrite");
    if (!stores) return;
    const over = finished(stores.transaction);
    stores.records.clear();
    stores.media.clear();
    await over;
  };

  return {
    get,
    all,
    blob,
    put,
    putInPage,
    remove,
    clear,
    refused: async () => (await opening) === null,
  };
})();
