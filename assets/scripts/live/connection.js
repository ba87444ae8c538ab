// The WebSocket of a Live session (the form of its messages is in demos/live/wire.py).
const omniLiveConnection = (() => {
  const PING_MS = 2000;
  const LOST_MS = 8000; // without an answer to a ping the connection is gone, whatever TCP thinks
  const KINDS = { sound: 1, frame: 2 };
  /**
   * @typedef {object} Connection
   * @property {WebSocket} socket
   * @property {boolean} opened whether it ever was
   * @property {number} asked when the ping was sent that has no answer yet (ms); 0: none
   * @property {number} pings their timer; 0: none yet
   */
  /**
   * @typedef {object} Listener
   * @property {() => void} opened
   * @property {(data: string | ArrayBuffer) => void} received
   * @property {() => void} gone may be called more than once
   */

  /** @param {Connection} connection */
  const isOpen = ({ socket }) => socket.readyState === WebSocket.OPEN;

  /**
   * @param {Connection | undefined} connection
   * @param {object} message
   */
  const tell = (connection, message) => {
    if (connection && isOpen(connection)) connection.socket.send(JSON.stringify(message));
  };

  /**
   * @param {Connection | undefined} connection
   * @param {keyof typeof KINDS} kind
   * @param {ArrayBuffer} bytes
   */
  const send = (connection, kind, bytes) => {
    if (!connection || !isOpen(connection)) return;
    const message = new Uint8Array(bytes.byteLength + 1);
    message[0] = KINDS[kind];
    message.set(new Uint8Array(bytes), 1);
    connection.socket.send(message);
  };

  /**
   * @param {string} ticket
   * @param {Listener} listener
   */
  const open = (ticket, listener) => {
    const address = omniGradio.address("/live");
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, ["omni-live", ticket]);
    /** @type {Connection} */
    const connection = { socket, opened: false, asked: 0, pings: 0 };
    const ping = () => {
      const now = performance.now();
      if (connection.asked && now - connection.asked > LOST_MS) listener.gone();
      connection.asked ||= now;
      tell(connection, { type: "ping" });
    };
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      connection.opened = true;
      listener.opened();
      connection.pings = setInterval(ping, PING_MS);
    };
    socket.onmessage = ({ data }) => listener.received(data);
    socket.onclose = listener.gone;
    setTimeout(() => connection.opened || listener.gone(), LOST_MS);
    return connection;
  };

  /** @param {Connection} connection */
  const answered = (connection) => {
    connection.asked = 0;
  };

  /** @param {Connection} connection */
  const close = ({ socket, pings }) => {
    socket.close();
    clearInterval(pings);
  };

  return { open, isOpen, tell, send, answered, close };
})();
