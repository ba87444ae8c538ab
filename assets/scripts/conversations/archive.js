// A zip of files, none of them packed: the form in which a conversation is exported and imported
// (demos/turns/export.py). Its parts stay where the browser has them; none is copied.
const omniArchive = (() => {
  const VERSION = 20;
  const UTF8 = 0x0800; // names are
  const TABLE = Array.from({ length: 256 }, (_, start) => {
    let value = start;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    return value >>> 0;
  });

  /** @param {Uint8Array} bytes */
  const checksum = (bytes) => {
    let value = 0xffffffff;
    for (const byte of bytes) value = (TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
    return (value ^ 0xffffffff) >>> 0;
  };

  /**
   * Numbers as the form has them: pairs of how many bytes and the value.
   * @param {[2 | 4, number][]} fields
   */
  const packed = (fields) => {
    const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
    let place = 0;
    for (const [size, value] of fields) {
      if (size === 2) view.setUint16(place, value, true);
      else view.setUint32(place, value, true);
      place += size;
    }
    return view.buffer;
  };

  /** @param {{ name: string, data: Blob }[]} files */
  const zip = async (files) => {
    /** @type {BlobPart[]} */
    const parts = [];
    /** @type {BlobPart[]} */
    const table = [];
    let place = 0;
    let tableBytes = 0;
    for (const { name, data } of files) {
      const sum = checksum(new Uint8Array(await data.arrayBuffer()));
      const title = new TextEncoder().encode(name);
      /** @type {[2 | 4, number][]} */
      const common = [
        ...[VERSION, UTF8, 0, 0, 0x21].map((value) => /** @type {[2, number]} */ ([2, value])),
        ...[sum, data.size, data.size].map((value) => /** @type {[4, number]} */ ([4, value])),
        [2, title.length],
        [2, 0],
      ];
      const head = packed([[4, 0x04034b50], ...common]);
      const row = packed([
        [4, 0x02014b50],
        [2, VERSION],
        ...common,
        [2, 0],
        [2, 0],
        [2, 0],
        [4, 0],
        [4, place],
      ]);
      parts.push(head, title, data);
      table.push(row, title);
      place += head.byteLength + title.length + data.size;
      tableBytes += row.byteLength + title.length;
    }
    const end = packed([
      [4, 0x06054b50],
      [2, 0],
      [2, 0],
      [2, files.length],
      [2, files.length],
      [4, tableBytes],
      [4, place],
      [2, 0],
    ]);
    return new Blob([...parts, ...table, end], { type: "application/zip" });
  };

  return { zip };
})();
