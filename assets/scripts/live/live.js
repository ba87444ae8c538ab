// Talk: microphone and camera to the server, speech from it, over one connection. Who speaks when
// is decided by the server. One conversation at a time on a page.
const omniLive = (() => {
  /** @typedef {ReturnType<typeof omniLiveDevices.newSession>} Session */
  const { problem, missing, newSession, take, release, stopTracks } = omniLiveDevices;
  const OVER_MS = 6000; // an event of the server that has not ended by then never will
  const LOOK_MS = 50;
  const QUIETLY = ["stopped", "left"]; // ends that are the person's own wish
  /** @type {Record<string, Session>} */
  const sessions = {}; // by tab
  /** @type {Record<string, number>} */
  const running = {}; // events of the server that have not ended, by tab
  /** @type {Session | null} */
  let trial = null; // nobody but this page listens

  /** @param {Session} session */
  const wanted = (session) => trial === session || Object.values(sessions).includes(session);

  /** Whether a turn is running in the tab, which the page knows before the server says so. */
  const busy = (/** @type {string} */ tab) => {
    const [send, stop] = ["send", "stop"].map((name) => omniPage.part(tab, name));
    const works = stop instanceof HTMLButtonElement && !stop.disabled;
    return works || (send instanceof HTMLButtonElement && send.disabled);
  };

  /** Until the server's event of the conversation before is over. @param {string} tab */
  const over = async (tab) => {
    for (let waited = 0; running[tab] && waited < OVER_MS; waited += LOOK_MS) {
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  };

  /**
   * Called by Talk, with the values of the event: the first becomes "ready" or what is wrong, then
   * come the thresholds.
   * @param {string} tab
   * @param {boolean} camera
   * @param {unknown[]} values
   */
  const open = async (tab, camera, values) => {
    const thresholds = omniLiveChoices.thresholds();
    const given = omniLiveChoices.offer().thresholds.map(({ field }) => thresholds[field]);
    /** @param {string} word */
    const answer = (word) => {
      running[tab] = (running[tab] ?? 0) + 1;
      return [word, ...given, ...values.slice(1 + given.length)];
    };
    for (const other of Object.keys(sessions)) await stop(other);
    await endTrial();
    omniSounding.end();
    const session = newSession(camera);
    sessions[tab] = session;
    omniLiveStage.open(tab, camera, act);
    omniLiveStage.mute(false);
    omniLiveStage.show("preparing", omniWords.say("live-preparing"));
    await over(tab);
    if (!wanted(session)) return answer("busy");
    /** @param {string} word @param {string} sent */
    const refuse = async (word, sent = word) => {
      await leave(tab, omniWords.say(`live-${word}`));
      return answer(sent);
    };
    const lack = missing();
    if (lack) return refuse(lack);
    if (busy(tab)) return refuse("busy");
    try {
      await take(session, true);
    } catch (error) {
      omniLiveLog.problem(tab, error);
      if (wanted(session)) return refuse(problem(error));
    }
    if (!wanted(session)) {
      await release(session); // it was ended meanwhile
      return answer("busy");
    }
    if (camera && session.stream) {
      session.picture = omniLiveCamera.watch(session.stream, (frame) =>
        omniLiveConnection.send(session.connection, "frame", frame),
      );
    }
    session.asked = true;
    return answer("ready");
  };

  /**
   * Called when the server has made a session: {ticket, and sentences: lost, unreached}, or {refused}
   * with the reason, as JSON; with nothing when it is over.
   * @param {string} tab
   * @param {string} message
   */
  const connect = (tab, message) => {
    if (!message) return;
    const session = sessions[tab];
    const { ticket, refused, lost, unreached } = JSON.parse(message);
    if (refused) return session && leave(tab, refused);
    // Ended before it had begun: the server knows nothing of it and would wait.
    if (!session) return pressStop(tab);
    if (session.connection) return;
    const connection = omniLiveConnection.open(ticket, {
      opened: () => start(tab, session),
      received: (data) => receive(tab, session, data),
      gone: () => {
        if (sessions[tab] !== session) return;
        const { bye } = session;
        if (bye && QUIETLY.includes(bye.reason)) stop(tab);
        else leave(tab, bye?.text ?? (connection.opened ? lost : unreached));
        // The server knows nothing of a connection that never was: it waits for it until told.
        if (!connection.opened) pressStop(tab);
      },
    });
    session.connection = connection;
  };

  /** @param {string} tab */
  const pressStop = (tab) => omniPage.part(tab, "live-stop")?.click();

  /**
   * The server has ended, or never begun, the session: no microphone stays open for it. Without a
   * ticket it was refused: a turn had begun that the page did not know of yet.
   * @param {string} tab
   */
  const settle = (tab) => {
    running[tab] = Math.max(0, (running[tab] ?? 0) - 1);
    const session = sessions[tab];
    if (!session?.asked) return;
    const { connection } = session;
    if (!connection) leave(tab, omniWords.say("live-busy"));
    else if (!omniLiveConnection.isOpen(connection)) stop(tab);
  };

  /**
   * @param {string} tab
   * @param {Session} session
   */
  const start = (tab, session) => {
    const { microphone, player, connection } = session;
    if (!microphone || !player) return; // it is open: all are there
    omniLiveConnection.tell(connection, { type: "hello", rate: microphone.context.sampleRate });
    omniLiveMicrophone.listen(tab, microphone, (sound) =>
      omniLiveConnection.send(connection, "sound", sound),
    );
    omniLivePlayer.report(tab, player, (report) => omniLiveConnection.tell(connection, report));
    omniLiveOrb.follow(player.level);
    watch(tab, session);
  };

  /** What is done when a device is taken away. @param {string} tab @param {Session} session */
  const watch = (tab, session) => {
    for (const track of session.stream?.getTracks() ?? []) {
      track.onended = () =>
        track.kind === "audio" ? anotherMicrophone(tab, session) : see(session, false);
    }
  };

  /**
   * Hear the microphone that is chosen now; where there is none any more, Talk ends.
   * @param {string} tab
   * @param {Session} session
   */
  const anotherMicrophone = async (tab, session) => {
    const { stream, microphone } = session;
    if (!stream || !microphone) return;
    try {
      const fresh = await omniLiveChoices.listen(false);
      if (!wanted(session)) return stopTracks(fresh.getTracks());
      omniLiveMicrophone.change(microphone, fresh);
      stopTracks(stream.getAudioTracks());
      for (const track of stream.getAudioTracks()) stream.removeTrack(track);
      for (const track of fresh.getAudioTracks()) {
        track.enabled = !session.muted;
        stream.addTrack(track);
      }
      if (trial !== session) watch(tab, session);
    } catch (error) {
      omniLiveLog.problem(tab, error);
      if (trial === session) omniLiveStage.note(omniWords.say(`live-${problem(error)}`));
      else omniLiveConnection.tell(session.connection, { type: "end", reason: "microphone" });
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
    if (message.type === "state") {
      if (!session.muted) omniLiveStage.note("");
      omniLiveStage.show(message.state, message.text);
    } else if (message.type === "flush" || message.type === "sent")
      omniLivePlayer.tell(player, message);
    else if (message.type === "said") omniLiveCaptions.add(message);
    else if (message.type === "heard") omniLiveCaptions.heard(message);
    else if (message.type === "note") omniLiveStage.note(message.text);
    else if (message.type === "pong") omniLiveConnection.answered(connection);
    else if (message.type === "bye") session.bye = message;
    if (message.type !== "flush") return;
    omniLiveCaptions.cut();
    omniLiveLog.note(tab, "flush", { answer: message.answer });
  };

  /** @param {string} tab */
  const close = async (tab) => {
    const session = sessions[tab];
    if (!session) return;
    delete sessions[tab];
    const { connection } = session;
    omniLiveConnection.tell(connection, { type: "end", reason: "stopped" });
    if (connection) omniLiveConnection.close(connection);
    await release(session);
  };

  /** The person ends it. @param {string} tab */
  const stop = async (tab) => {
    if (sessions[tab]) omniLiveStage.show("off", "");
    if (omniLiveStage.tab === tab) omniLiveStage.close();
    await close(tab);
  };

  /** It ends for a reason that is to be read. @param {string} tab @param {string} sentence */
  const leave = async (tab, sentence) => {
    const closing = close(tab);
    omniLiveStage.fail(sentence);
    await closing;
  };

  /** Settings, and a microphone that is tried out. @param {string} tab */
  const tryOut = async (tab) => {
    if (sessions[tab]) {
      omniLiveStage.restore();
      return settings();
    }
    for (const other of Object.keys(sessions)) await stop(other);
    await endTrial();
    const session = newSession(false);
    trial = session;
    omniLiveStage.open(tab, false, act);
    omniLiveStage.mute(false);
    omniLiveStage.show("try", omniWords.say("talk-ready"));
    const lack = missing();
    try {
      if (!lack) await take(session, false);
      if (trial !== session) return release(session);
      if (session.microphone) omniLiveMicrophone.listen(tab, session.microphone, () => {});
    } catch (error) {
      omniLiveLog.problem(tab, error);
      omniLiveStage.note(omniWords.say(`live-${problem(error)}`));
    }
    if (lack) omniLiveStage.note(omniWords.say(`live-${lack}`));
    else settings();
  };

  const endTrial = async () => {
    const session = trial;
    trial = null;
    if (session) await release(session);
  };

  const settings = () => {
    const tab = omniLiveStage.tab;
    const session = () => trial ?? sessions[tab];
    omniLiveSettings.open({
      microphone: async () => {
        const now = session();
        if (now) await anotherMicrophone(tab, now);
      },
      loudspeaker: async () => {
        const player = session()?.player;
        if (player) await omniLiveChoices.speak(player.context);
      },
      sensitivity: () => {
        const thresholds = omniLiveChoices.thresholds();
        omniLiveConnection.tell(session()?.connection, { type: "settings", thresholds });
      },
    });
  };

  /** Turn the camera on or off. @param {Session} session @param {boolean} on */
  const see = async (session, on) => {
    const { stream, picture } = session;
    if (!stream || !picture) return;
    omniLiveStage.see(on ? "on" : "off");
    if (!on) return omniLiveCamera.blind(stream);
    try {
      await omniLiveCamera.change(stream, session.facing);
      watch(omniLiveStage.tab, session);
    } catch (error) {
      omniLiveLog.problem(omniLiveStage.tab, error);
      omniLiveStage.note(omniWords.say(`live-${problem(error)}`));
      omniLiveStage.see("off");
    }
  };

  /** @param {string} tab */
  const press = (tab) => omniPage.part(tab, "live-start")?.click();

  /** What the buttons of the voice mode do. @param {string} what */
  const act = (what) => {
    const tab = omniLiveStage.tab;
    const session = sessions[tab];
    if (what === "end") {
      endTrial();
      stop(tab);
    } else if (what === "again") {
      omniLiveSettings.close();
      press(tab);
    } else if (what === "small") {
      if (session) omniLiveStage.minimize();
      else act("end");
    } else if (what === "settings") {
      if (omniLiveSettings.isOpen()) omniLiveSettings.close();
      else settings();
    } else if (session && what === "mute") {
      session.muted = !session.muted;
      for (const track of session.stream?.getAudioTracks() ?? []) track.enabled = !session.muted;
      omniLiveStage.mute(session.muted);
    } else if (session && what === "camera") {
      see(session, !session.stream?.getVideoTracks().length);
    } else if (session && what === "flip") {
      session.facing = session.facing === "user" ? "environment" : "user";
      see(session, true);
    }
  };

  window.addEventListener("pagehide", () => {
    for (const tab of Object.keys(sessions)) close(tab);
  });
  navigator.mediaDevices?.addEventListener("devicechange", async () => {
    omniLiveSettings.renew();
    const player = sessions[omniLiveStage.tab]?.player;
    if (player) await omniLiveChoices.speak(player.context, true);
  });
  return {
    open,
    connect,
    settle,
    stop,
    press,
    tryOut,
    resting: (/** @type {string} */ tab) => !running[tab],
    on: (/** @type {string} */ tab) => tab in sessions,
    sessions,
    log: omniLiveLog.entries,
  };
})();
