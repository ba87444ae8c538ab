// An audio context with our code on its audio thread (worklet.js).
const omniLiveSound = (() => {
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
    await context.resume();
    return context;
  };

  return { open };
})();
