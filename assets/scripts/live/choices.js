// What a person has chosen for Talk: microphone, loudspeaker, how sensitive. Kept in the browser.
const omniLiveChoices = (() => {
  const KEPT = "omni.talk";
  const OWN = "own"; // no room, but values of the person's own
  /** @typedef {"microphone" | "loudspeaker"} Device */
  /**
   * @typedef {object} Choices
   * @property {string} microphone a device's id; empty: the browser's own
   * @property {string} loudspeaker the same
   * @property {string} room the name of one, or OWN
   * @property {Record<string, number>} own thresholds by their names
   */
  /** @typedef {{field: string, words: string, least: number, most: number, step: number}} Threshold */
  /** @typedef {{thresholds: Threshold[], rooms: Record<string, Record<string, number>>}} Offer */

  /** @type {Choices} */
  let chosen = { microphone: "", loudspeaker: "", room: "usual", own: {} };
  try {
    chosen = { ...chosen, ...JSON.parse(omniPage.kept(KEPT) ?? "{}") };
  } catch {
    // something else is kept under this name
  }

  /** What the server offers (demos/live/thresholds.py). @returns {Offer} */
  const offer = () =>
    JSON.parse(
      document.querySelector("[data-talk-offer]")?.getAttribute("data-talk-offer") ?? "null",
    ) ?? {
      thresholds: [],
      rooms: {},
    };

  const thresholds = () => {
    const { rooms } = offer();
    return { ...rooms.usual, ...(rooms[chosen.room] ?? chosen.own) };
  };

  /** @param {Partial<Choices>} change */
  const choose = (change) => {
    chosen = { ...chosen, ...change };
    omniPage.keep(KEPT, JSON.stringify(chosen));
  };

  /**
   * What is asked of the browser for sound.
   * @param {string} microphone a device's id; empty: the browser's own
   */
  const sound = (microphone) => ({
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    channelCount: 1,
    ...(microphone ? { deviceId: { exact: microphone } } : {}),
  });

  const GONE = ["NotFoundError", "OverconstrainedError"];
  /**
   * The chosen microphone's sound; where it is gone, the browser's own.
   * @param {MediaTrackConstraints | false} video
   * @returns {Promise<MediaStream>}
   */
  const listen = async (video) => {
    const { microphone } = chosen;
    try {
      return await navigator.mediaDevices.getUserMedia({ audio: sound(microphone), video });
    } catch (error) {
      if (!microphone || !(error instanceof Error) || !GONE.includes(error.name)) throw error;
      const stream = await navigator.mediaDevices.getUserMedia({ audio: sound(""), video });
      choose({ microphone: "" });
      omniLiveStage.note(omniWords.say("talk-gone-microphone"));
      return stream;
    }
  };

  const canChooseLoudspeaker = () => "setSinkId" in AudioContext.prototype;
  /**
   * Have the chosen loudspeaker play; where it is gone, the browser's own.
   * @param {AudioContext} context
   * @param {boolean} [looked] whether it is looked for first: it may have gone while it played
   */
  const speak = async (context, looked = false) => {
    if (!canChooseLoudspeaker()) return;
    const sink =
      /** @type {AudioContext & {sinkId: string, setSinkId(id: string): Promise<void>}} */ (
        context
      );
    const there = async () =>
      (await devices("loudspeaker")).some((one) => one.deviceId === chosen.loudspeaker);
    const gone = looked && chosen.loudspeaker && !(await there());
    if (!gone && sink.sinkId === chosen.loudspeaker) return;
    try {
      await sink.setSinkId(gone ? "" : chosen.loudspeaker);
      if (!gone) return;
    } catch {
      // it is told below
    }
    choose({ loudspeaker: "" });
    omniLiveStage.note(omniWords.say("talk-gone-loudspeaker"));
  };

  /** @param {Device} kind */
  const devices = async (kind) => {
    const wanted = kind === "microphone" ? "audioinput" : "audiooutput";
    const all = await navigator.mediaDevices.enumerateDevices();
    return all.filter(
      ({ kind: is, deviceId, label }) =>
        is === wanted && deviceId && deviceId !== "default" && label,
    );
  };

  return {
    OWN,
    get chosen() {
      return chosen;
    },
    offer,
    thresholds,
    choose,
    listen,
    speak,
    canChooseLoudspeaker,
    devices,
  };
})();
