// An audio context with our code on its audio thread (worklet.js).
const omniLiveSound = (() => {
  const START_MS = 3000; // a browser without a loudspeaker may wait for ever and say nothing

  const workletUrl = () => {
    const source = document.getElementById("omni-live-worklet")?.textContent ?? "";
    return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  };

  /** @param {number | null} rate in Hz; null: the browser's own */
  const open = async (rate) => {
    const context = new AudioContext(rate ? { sampleRate: rate, latencyHint: "interactive" } : {});
    const url = workletUrl();
    try {
      await context.audioWorklet.addModule(url);
    } finally {
      URL.revokeObjectURL(url);
    }
    const wait = new Promise((resolve) => setTimeout(resolve, START_MS));
    await Promise.race([context.resume(), wait]);
    if (context.state === "running") return context;
    context.close().catch(() => {}); // which may wait as long
    throw new Error("the sound did not start");
  };

  return { open };
})();
