// Live: microphone and camera to the server, speech from it, over one WebSocket (the form of its
// messages is in demos/live/wire.py). Who speaks when is decided by the server.
window.omniLive = (() => {
  const RATE = 16000; // of the microphone, if the browser can
  const SPEECH_RATE = 24000;
  const FRAME_MS = 1000;
  const FRAME_WIDTH = 640;
  const JPEG_QUALITY = 0.7;
  const LOUD = 0.02; // level of full scale from which the log says that there is sound ...
  const LOUD_PIECES = 10; // ... and for how many quiet pieces it is the same sound
  const PING_MS = 2000;
  const LOST_MS = 8000; // without an answer to a ping the connection is gone, whatever TCP thinks
  const SOUND = 1;
  const FRAME = 2;
  const sessions = {}; // by tab
  const log = []; // what happened lately, for measurements: {at (ms), tab, type, ...}

  const note = (tab, type, more = {}, at = performance.now()) => {
    log.push({ at, tab, type, ...more });
    if (log.length > 1000) log.shift();
  };
  const root = (tab) => document.getElementById(`${tab}-live`)?.querySelector(".live") ?? document.createElement("div");
  const show = (tab, state, text) => {
    root(tab).dataset.state = state;
    const label = root(tab).querySelector(".live-state");
    if (label) label.textContent = text;
    note(tab, "state", { state });
  };
  const meter = (tab, level) => {
    const decibels = 20 * Math.log10(level + 1e-6);
    const share = Math.max(0, Math.min(1, (decibels + 60) / 54));
    root(tab).querySelector(".live-level")?.style.setProperty("--level", share.toFixed(3));
  };
  const problem = (error) =>
    ({
      NotAllowedError: "refused",
      SecurityError: "refused",
      NotFoundError: "no-device",
      OverconstrainedError: "no-device",
      NotReadableError: "device-busy",
      AbortError: "device-busy",
    })[error.name] ?? "no-sound";

  const workletUrl = () => {
    const source = document.getElementById("omni-live-worklet").textContent;
    return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  };
  const audioContext = async (rate) => {
    const context = new AudioContext(rate ? { sampleRate: rate, latencyHint: "interactive" } : {});
    const url = workletUrl();
    try {
      await context.audioWorklet.addModule(url);
    } finally {
      URL.revokeObjectURL(url);
    }
    await context.resume();
    return context;
  };
  const capture = async (stream, rate) => {
    const context = await audioContext(rate);
    try {
      const source = context.createMediaStreamSource(stream);
      const node = new AudioWorkletNode(context, "omni-capture", { numberOfOutputs: 0 });
      source.connect(node);
      return { context, node };
    } catch (error) {
      await context.close();
      if (!rate) throw error;
      return capture(stream, null); // a browser that does not resample: the server does
    }
  };

  // The page knows it itself and says it in the panel's own line: the server's word would come
  // behind all that it still has to tell of the running turn, whose status would write over it.
  const busy = (tab) => document.getElementById(`${tab}-send`)?.disabled ?? false;
  const showBusy = (tab) => show(tab, "off", document.getElementById(`${tab}-live-busy`)?.textContent.trim() ?? "");

  // Called by Start, with the values of the event; the first becomes "ready" or what is wrong.
  const open = async (tab, camera, values) => {
    const answer = (word) => [word, ...values.slice(1)];
    await close(tab);
    if (busy(tab)) {
      showBusy(tab);
      return answer("busy");
    }
    if (!window.isSecureContext || !navigator.mediaDevices) return answer("insecure");
    if (!window.AudioWorkletNode || !window.WebSocket) return answer("old-browser");
    const session = { camera, facing: "user", closed: false };
    try {
      session.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
        video: camera ? { facingMode: session.facing, width: { ideal: FRAME_WIDTH } } : false,
      });
      session.capture = await capture(session.stream, RATE);
      session.player = await audioContext(SPEECH_RATE);
      session.playback = new AudioWorkletNode(session.player, "omni-playback", { outputChannelCount: [1] });
      session.playback.connect(omniSpeech.output(session.player));
    } catch (error) {
      note(tab, "problem", { name: error.name, message: error.message });
      await release(session);
      return answer(problem(error));
    }
    sessions[tab] = session;
    if (camera) watch(tab, session);
    return answer("ready");
  };

  // Called when the server has made a session: {ticket, and sentences: lost, unreached}, as JSON;
  // with nothing when it is over.
  const connect = (tab, message) => {
    const session = sessions[tab];
    if (!message) return settle(tab);
    if (!session || session.socket) return;
    const { ticket, lost, unreached } = JSON.parse(message);
    // Below the path that the app is served under; the host is the page's own, whatever a proxy
    // lets the server believe.
    const path = new URL(window.gradio_config?.root ?? "/", location.href).pathname.replace(/\/$/, "");
    const address = new URL(`${path}/live`, location.origin);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, ["omni-live", ticket]);
    session.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      session.opened = true;
      start(tab, session);
    };
    socket.onmessage = ({ data }) => receive(tab, session, data);
    session.gone = () => {
      if (sessions[tab] !== session) return;
      show(tab, "off", session.bye ?? (session.opened ? lost : unreached));
      close(tab);
      // The server knows nothing of a connection that never was: it waits for it until told.
      if (!session.opened) document.getElementById(`${tab}-live-stop`)?.click();
    };
    socket.onclose = session.gone;
    setTimeout(() => session.opened || session.gone(), LOST_MS);
  };

  // The server has ended, or never begun, the session: no microphone stays open for it. Without a
  // ticket it was refused: a turn had begun that the page did not know of yet.
  const settle = (tab) => {
    const session = sessions[tab];
    if (!session) return;
    if (!session.socket) showBusy(tab);
    if (session.socket?.readyState !== WebSocket.OPEN) close(tab);
  };

  const ping = (session) => {
    const now = performance.now();
    if (session.asked && now - session.asked > LOST_MS) session.gone();
    session.asked ||= now;
    tell(session, { type: "ping" });
  };

  const tell = (session, message) => {
    if (session.socket?.readyState === WebSocket.OPEN) session.socket.send(JSON.stringify(message));
  };
  const sendData = (session, kind, bytes) => {
    if (session.socket?.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(bytes.byteLength + 1);
    message[0] = kind;
    message.set(new Uint8Array(bytes), 1);
    session.socket.send(message);
  };

  const start = (tab, session) => {
    tell(session, { type: "hello", rate: session.capture.context.sampleRate });
    session.capture.node.port.onmessage = ({ data }) => {
      meter(tab, data.level);
      if (data.level > LOUD && !session.loud) {
        // Not when the piece was complete, but when the sound in it began.
        const quiet = data.samples.findIndex((sample) => Math.abs(sample) > LOUD * 32768);
        const ago = (data.samples.length - quiet) / session.capture.context.sampleRate;
        note(tab, "loud", {}, performance.now() - 1000 * ago);
      }
      if (data.level <= LOUD && session.loud === 1) {
        const pieces = (LOUD_PIECES * data.samples.length) / session.capture.context.sampleRate;
        note(tab, "quiet", {}, performance.now() - 1000 * pieces);
      }
      session.loud = data.level > LOUD ? LOUD_PIECES : Math.max(0, (session.loud ?? 0) - 1);
      sendData(session, SOUND, data.samples.buffer);
    };
    session.playback.port.onmessage = ({ data }) => {
      if (data.type !== "played") note(tab, data.type, data);
      if (data.type !== "began") tell(session, data);
    };
    for (const track of session.stream.getTracks()) {
      track.onended = () => tell(session, { type: "end", reason: "microphone" });
    }
    session.pings = setInterval(() => ping(session), PING_MS);
  };

  const receive = (tab, session, data) => {
    if (typeof data !== "string") {
      const answer = new DataView(data).getUint32(0, true);
      note(tab, "sound", { answer });
      const samples = new Int16Array(data.slice(4));
      session.playback.port.postMessage({ answer, samples }, [samples.buffer]);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "state") show(tab, message.state, message.text);
    else if (message.type === "flush" || message.type === "sent") session.playback.port.postMessage(message);
    else if (message.type === "note") root(tab).querySelector(".live-note").textContent = message.text;
    else if (message.type === "pong") session.asked = 0;
    else if (message.type === "bye") session.bye = message.text;
    if (message.type === "flush") note(tab, "flush", { answer: message.answer });
  };

  // A frame a second, shown small; nothing is kept here.
  const watch = (tab, session) => {
    const preview = root(tab).querySelector("video") ?? document.createElement("video");
    preview.srcObject = session.stream;
    preview.play().catch(() => {});
    const canvas = document.createElement("canvas");
    session.preview = preview;
    session.timer = setInterval(() => {
      if (!preview.videoWidth) return;
      const scale = Math.min(1, FRAME_WIDTH / preview.videoWidth);
      canvas.width = Math.round(preview.videoWidth * scale);
      canvas.height = Math.round(preview.videoHeight * scale);
      canvas.getContext("2d").drawImage(preview, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(async (blob) => blob && sendData(session, FRAME, await blob.arrayBuffer()), "image/jpeg", JPEG_QUALITY);
    }, FRAME_MS);
  };

  const flip = async (tab) => {
    const session = sessions[tab];
    if (!session?.camera) return;
    session.facing = session.facing === "user" ? "environment" : "user";
    try {
      for (const track of session.stream.getVideoTracks()) {
        track.onended = null;
        track.stop(); // phones open one camera at a time
        session.stream.removeTrack(track);
      }
      const other = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: session.facing, width: { ideal: FRAME_WIDTH } },
      });
      for (const track of other.getVideoTracks()) session.stream.addTrack(track);
    } catch (error) {
      note(tab, "problem", { name: error.name, message: error.message });
    }
  };

  const release = async (session) => {
    session.closed = true;
    clearInterval(session.timer);
    clearInterval(session.pings);
    if (session.preview) session.preview.srcObject = null;
    for (const track of session.stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    const contexts = [session.capture?.context, session.player];
    await Promise.all(contexts.map((context) => context?.close()));
  };

  const close = async (tab) => {
    const session = sessions[tab];
    if (!session) return;
    delete sessions[tab];
    meter(tab, 0);
    tell(session, { type: "end", reason: "stopped" });
    session.socket?.close();
    root(tab).dataset.state = "off";
    await release(session);
  };

  const stop = async (tab) => {
    const session = sessions[tab];
    if (session) show(tab, "off", "");
    await close(tab);
  };

  window.addEventListener("pagehide", () => Object.keys(sessions).forEach(close));
  return { open, connect, settle, stop, flip, log, sessions };
})();
