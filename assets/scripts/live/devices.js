// What one conversation of Talk holds open in the browser: microphone, camera, loudspeaker.
const omniLiveDevices = (() => {
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
   * @property {boolean} muted
   * @property {boolean} [asked] the server has been asked for it
   * @property {MediaStream} [stream] of microphone and camera
   * @property {Awaited<ReturnType<typeof omniLiveMicrophone.open>>} [microphone]
   * @property {Awaited<ReturnType<typeof omniLivePlayer.open>>} [player]
   * @property {ReturnType<typeof omniLiveCamera.watch>} [picture]
   * @property {ReturnType<typeof omniLiveConnection.open>} [connection]
   * @property {{reason: string, text: string}} [bye] the server's last word
   */

  /** @param {unknown} error */
  const problem = (error) => {
    const name = error instanceof Error ? error.name : "";
    return name in PROBLEMS ? PROBLEMS[/** @type {keyof typeof PROBLEMS} */ (name)] : "no-sound";
  };
  /** @returns {Session} */
  const newSession = (/** @type {boolean} */ camera) => ({ camera, facing: "user", muted: false });

  /** What keeps the page from it; empty: nothing. */
  const missing = () => {
    if (!window.isSecureContext || !navigator.mediaDevices) return "insecure";
    return window.AudioWorkletNode && window.WebSocket ? "" : "old-browser";
  };

  /** @param {Session} session @param {boolean} plays whether it also speaks */
  const take = async (session, plays) => {
    const video = session.camera ? omniLiveCamera.wanted(session.facing) : false;
    session.stream = await omniLiveChoices.listen(video);
    session.microphone = await omniLiveMicrophone.open(session.stream);
    if (plays) session.player = await omniLivePlayer.open();
  };

  /** @param {MediaStreamTrack[]} tracks */
  const stopTracks = (tracks) => {
    for (const track of tracks) {
      track.onended = null;
      track.stop();
    }
  };

  /** @param {Session} session */
  const release = async ({ picture, stream, microphone, player }) => {
    if (picture) omniLiveCamera.close(picture);
    stopTracks(stream?.getTracks() ?? []);
    omniLiveOrb.follow(() => 0);
    omniLiveStage.meter(0);
    const contexts = [microphone?.context, player?.context];
    await Promise.all(contexts.map((one) => one?.state !== "closed" && one?.close()));
  };

  return { problem, missing, newSession, take, release, stopTracks };
})();
