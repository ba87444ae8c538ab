// Live: microphone and camera to the server, speech from it, over one connection. Who speaks when
// is decided by the server.
const omniLive = (() => {
  const PROBLEMS = {
    NotAllowedError: "refused",
    SecurityError: "refused",
    NotFoundError: "no-device",
    OverconstrainedError: "no-device",
    NotReadableError: "device-busy",
    AbortError: "device-busy",
  };
  /**
   * @typedef {object} Session
   * @property {boolean} camera whether it sees
   * @property {"user" | "environment"} facing
   * @property {MediaStream} [stream] of microphone and camera
   * @property {Awaited<ReturnType<typeof omniLiveMicrophone.open>>} [microphone]
   * @property {Awaited<ReturnType<typeof omniLivePlayer.open>>} [player]
   * @property {ReturnType<typeof omniLiveCamera.watch>} [picture]
   * @property {ReturnType<typeof omniLiveConnection.open>} [connection]
   * @property {string} [bye] the server's last word
   */
  /** @type {Record<string, Session>} */
  const sessions = {}; // by tab

  /** @param {unknown} error */
  const problem = (error) => {
    const name = error instanceof Error ? error.name : "";
    return name in PROBLEMS ? PROBLEMS[/** @type {keyof typeof PROBLEMS} */ (name)] : "no-sound";
  };

  /** @param {Session} session */
  const take = async (session) => {
    session.stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
        channelCount: 1,
      },
      video: session.camera ? omniLiveCamera.wanted(session.facing) : false,
    });
    session.microphone = await omniLiveMicrophone.open(session.stream);
    session.player = await omniLivePlayer.open();
  };

  /**
   * Called by Start, with the values of the event; the first becomes "ready" or what is wrong.
   * @param {string} tab
   * @param {boolean} camera
   * @param {unknown[]} values
   */
  const open = async (tab, camera, values) => {
    /** @param {string} word */
    const answer = (word) => [word, ...values.slice(1)];
    await close(tab);
    if (omniLivePanel.busy(tab)) {
      omniLivePanel.showBusy(tab);
      return answer("busy");
    }
    if (!window.isSecureContext || !navigator.mediaDevices) return answer("insecure");
    if (!window.AudioWorkletNode || !window.WebSocket) return answer("old-browser");
    /** @type {Session} */
    const session = { camera, facing: "user" };
    try {
      await take(session);
    } catch (error) {
      omniLiveLog.problem(tab, error);
      await release(session);
      return answer(problem(error));
    }
    sessions[tab] = session;
    if (camera && session.stream) {
      session.picture = omniLiveCamera.watch(tab, session.stream, (frame) =>
        omniLiveConnection.send(session.connection, "frame", frame),
      );
    }
    return answer("ready");
  };

  /**
   * Called when the server has made a session: {ticket, and sentences: lost, unreached}, as JSON;
   * with nothing when it is over.
   * @param {string} tab
   * @param {string} message
   */
  const connect = (tab, message) => {
    const session = sessions[tab];
    if (!message) return settle(tab);
    if (!session || session.connection) return;
    const { ticket, lost, unreached } = JSON.parse(message);
    const connection = omniLiveConnection.open(ticket, {
      opened: () => start(tab, session),
      received: (data) => receive(tab, session, data),
      gone: () => {
        if (sessions[tab] !== session) return;
        omniLivePanel.show(tab, "off", session.bye ?? (connection.opened ? lost : unreached));
        close(tab);
        // The server knows nothing of a connection that never was: it waits for it until told.
        if (!connection.opened) omniLivePanel.pressStop(tab);
      },
    });
    session.connection = connection;
  };

  /**
   * The server has ended, or never begun, the session: no microphone stays open for it. Without a
   * ticket it was refused: a turn had begun that the page did not know of yet.
   * @param {string} tab
   */
  const settle = (tab) => {
    const session = sessions[tab];
    if (!session) return;
    const { connection } = session;
    if (!connection) omniLivePanel.showBusy(tab);
    if (!connection || !omniLiveConnection.isOpen(connection)) close(tab);
  };

  /**
   * @param {string} tab
   * @param {Session} session
   */
  const start = (tab, session) => {
    const { stream, microphone, player, connection } = session;
    if (!stream || !microphone || !player) return; // it is open: all are there
    omniLiveConnection.tell(connection, { type: "hello", rate: microphone.context.sampleRate });
    omniLiveMicrophone.listen(tab, microphone, (sound) =>
      omniLiveConnection.send(connection, "sound", sound),
    );
    omniLivePlayer.report(tab, player, (report) => omniLiveConnection.tell(connection, report));
    for (const track of stream.getTracks()) {
      track.onended = () =>
        omniLiveConnection.tell(connection, { type: "end", reason: "microphone" });
    }
  };

  /**
   * @param {string} tab
   * @param {Session} session
   * @param {string | ArrayBuffer} data
   */
  const receive = (tab, session, data) => {
    const { player, connection } = session;
    if (!player || !connection) return;
    if (typeof data !== "string") {
      const answer = new DataView(data).getUint32(0, true);
      omniLiveLog.note(tab, "sound", { answer });
      omniSounding.end(); // nothing else, while it speaks
      omniLivePlayer.play(player, answer, data.slice(4));
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "state") omniLivePanel.show(tab, message.state, message.text);
    else if (message.type === "flush" || message.type === "sent")
      omniLivePlayer.tell(player, message);
    else if (message.type === "note") omniLivePanel.note(tab, message.text);
    else if (message.type === "pong") omniLiveConnection.answered(connection);
    else if (message.type === "bye") session.bye = message.text;
    if (message.type === "flush") omniLiveLog.note(tab, "flush", { answer: message.answer });
  };

  /** @param {string} tab */
  const flip = async (tab) => {
    const session = sessions[tab];
    if (!session?.picture || !session.stream) return;
    session.facing = session.facing === "user" ? "environment" : "user";
    try {
      await omniLiveCamera.change(session.stream, session.facing);
    } catch (error) {
      omniLiveLog.problem(tab, error);
    }
  };

  /** @param {Session} session */
  const release = async ({ picture, stream, microphone, player }) => {
    if (picture) omniLiveCamera.close(picture);
    for (const track of stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    await Promise.all([microphone?.context.close(), player?.context.close()]);
  };

  /** @param {string} tab */
  const close = async (tab) => {
    const session = sessions[tab];
    if (!session) return;
    delete sessions[tab];
    omniLivePanel.meter(tab, 0);
    const { connection } = session;
    omniLiveConnection.tell(connection, { type: "end", reason: "stopped" });
    if (connection) omniLiveConnection.close(connection);
    omniLivePanel.off(tab);
    await release(session);
  };

  /** @param {string} tab */
  const stop = async (tab) => {
    if (sessions[tab]) omniLivePanel.show(tab, "off", "");
    await close(tab);
  };

  window.addEventListener("pagehide", () => {
    for (const tab of Object.keys(sessions)) close(tab);
  });
  return { open, connect, settle, stop, flip, sessions, log: omniLiveLog.entries };
})();
