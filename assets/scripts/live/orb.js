// The orb of Talk: a colour, a shape and a motion for each state, driven by the real levels of the
// microphone and of the answer. With prefers-reduced-motion it is a still picture for each state.
const omniLiveOrb = (() => {
  /** @typedef {"off" | "preparing" | "listening" | "hearing" | "thinking" | "speaking"} State */
  /**
   * How a state looks. Lengths are shares of half the canvas.
   * @typedef {object} Look
   * @property {[number, number, number]} light colour where the light falls
   * @property {[number, number, number]} deep colour of the other side
   * @property {number} radius of the body
   * @property {number} lobes waves around its edge
   * @property {number} wave their height at rest
   * @property {number} swell ... and for each level of the microphone
   */
  /** @type {Record<State, Look>} */
  const LOOKS = {
    off: {
      light: [148, 163, 184],
      deep: [100, 116, 139],
      radius: 0.5,
      lobes: 0,
      wave: 0,
      swell: 0,
    },
    preparing: {
      ...{ light: [125, 211, 252], deep: [71, 105, 140], radius: 0.44 },
      ...{ lobes: 0, wave: 0, swell: 0 },
    },
    listening: {
      ...{ light: [94, 234, 212], deep: [13, 128, 118], radius: 0.6 },
      ...{ lobes: 3, wave: 0.02, swell: 0.06 },
    },
    hearing: {
      ...{ light: [216, 180, 254], deep: [124, 58, 237], radius: 0.56 },
      ...{ lobes: 6, wave: 0.05, swell: 0.28 },
    },
    thinking: {
      ...{ light: [253, 211, 110], deep: [198, 102, 6], radius: 0.34 },
      ...{ lobes: 2, wave: 0.03, swell: 0 },
    },
    speaking: {
      ...{ light: [147, 197, 253], deep: [37, 99, 235], radius: 0.48 },
      ...{ lobes: 0, wave: 0, swell: 0 },
    },
  };
  const STATES = /** @type {State[]} */ (Object.keys(LOOKS));
  const POINTS = 90; // of the body's edge
  const BARS = 64; // around a speaking one
  const EASE = 0.16; // of the way to a new state, a picture
  const PICTURE_MS = 30; // a calm motion needs no more, and the model may run on the same cores
  const TAU = 2 * Math.PI;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  /** @type {HTMLCanvasElement | null} */
  let canvas = null;
  /** @type {State} */
  let state = "off";
  /** @type {Record<string, number>} */
  const weights = { off: 1 }; // how much of each state is to be seen
  let microphone = 0; // levels in [0, 1], smoothed
  /** @type {number[]} */
  const voice = new Array(BARS / 2).fill(0); // levels of the answer, the newest first
  /** @type {() => number} */
  let sounding = () => 0; // level of the answer now
  let heard = 0; // level of the microphone now
  let frame = 0;
  let painted = 0; // ms of the page's clock

  /** @param {(look: Look) => number} value */
  const mixed = (value) => STATES.reduce((sum, one) => sum + weight(one) * value(LOOKS[one]), 0);
  /** @param {State} one */
  const weight = (one) => weights[one] ?? 0;
  /** @param {"light" | "deep"} side @param {number} [alpha] */
  const colour = (side, alpha = 1) => {
    const [red, green, blue] = [0, 1, 2].map((at) => mixed((look) => look[side][at] ?? 0));
    return `rgb(${red} ${green} ${blue} / ${alpha})`;
  };

  /** @param {number} seconds */
  const advance = (seconds) => {
    for (const one of STATES) {
      const to = one === state ? 1 : 0;
      const step = still.matches ? 1 : EASE;
      weights[one] = weight(one) + step * (to - weight(one));
    }
    const quiet = still.matches ? 0 : heard;
    microphone += (quiet > microphone ? 0.7 : 0.22) * (quiet - microphone);
    voice.unshift(still.matches ? 0.35 + 0.25 * Math.sin(seconds) : sounding());
    voice.pop();
  };

  /** @param {CanvasRenderingContext2D} draw @param {number} size @param {number} seconds */
  const body = (draw, size, seconds) => {
    const breath = 1 + 0.025 * Math.sin(1.3 * seconds) * (weight("listening") + weight("thinking"));
    const loud = 0.1 * (voice[0] ?? 0) * weight("speaking");
    const radius = size * (mixed((look) => look.radius) * breath + loud);
    const glow = draw.createRadialGradient(0, 0, 0.8 * radius, 0, 0, 1.45 * radius);
    glow.addColorStop(0, colour("deep", 0.35));
    glow.addColorStop(1, colour("deep", 0));
    draw.fillStyle = glow;
    draw.fillRect(-size, -size, 2 * size, 2 * size);
    draw.beginPath();
    for (let at = 0; at <= POINTS; at++) {
      const angle = (TAU * at) / POINTS;
      let reach = radius;
      for (const one of STATES) {
        const { lobes, wave, swell } = LOOKS[one];
        const height = weight(one) * (wave + swell * microphone);
        const turn = seconds * (0.4 + 0.15 * lobes);
        reach += size * height * 0.6 * Math.sin(lobes * angle + turn);
        reach += size * height * 0.4 * Math.sin((lobes + 1) * angle - 1.4 * turn);
      }
      draw.lineTo(reach * Math.cos(angle), reach * Math.sin(angle));
    }
    draw.closePath();
    const light = draw.createRadialGradient(
      ...[-0.35 * radius, -0.4 * radius, 0.05 * radius],
      ...[0, 0, 1.15 * radius],
    );
    light.addColorStop(0, colour("light"));
    light.addColorStop(1, colour("deep"));
    draw.fillStyle = light;
    draw.globalAlpha = 1 - 0.55 * weight("off");
    draw.fill();
    draw.globalAlpha = 1;
  };

  /** An arc that goes around. @param {CanvasRenderingContext2D} draw @param {number} size @param {number} seconds */
  const preparing = (draw, size, seconds) => {
    draw.globalAlpha = weight("preparing");
    draw.strokeStyle = colour("deep");
    draw.lineWidth = 0.035 * size;
    draw.beginPath();
    draw.arc(0, 0, 0.62 * size, 2.2 * seconds, 2.2 * seconds + 0.7 * TAU);
    draw.stroke();
    draw.globalAlpha = 1;
  };

  /** Rings that come in. @param {CanvasRenderingContext2D} draw @param {number} size @param {number} seconds */
  const listening = (draw, size, seconds) => {
    draw.strokeStyle = colour("deep");
    draw.lineWidth = 0.012 * size;
    for (const part of [0, 0.5]) {
      const way = (0.16 * seconds + part) % 1;
      draw.globalAlpha = weight("listening") * 0.5 * Math.sin(Math.PI * way);
      draw.beginPath();
      draw.arc(0, 0, (0.95 - 0.3 * way) * size, 0, TAU);
      draw.stroke();
    }
    draw.globalAlpha = 1;
  };

  /** Three that go around. @param {CanvasRenderingContext2D} draw @param {number} size @param {number} seconds */
  const thinking = (draw, size, seconds) => {
    draw.globalAlpha = weight("thinking");
    draw.fillStyle = colour("deep");
    for (const part of [0, 1, 2]) {
      const angle = 1.5 * seconds + (TAU * part) / 3;
      draw.beginPath();
      const [x, y] = [0.6 * size * Math.cos(angle), 0.6 * size * Math.sin(angle)];
      draw.arc(x, y, (0.085 + 0.02 * Math.sin(2 * seconds + part)) * size, 0, TAU);
      draw.fill();
    }
    draw.globalAlpha = 1;
  };

  /** What is said goes out from the top on both sides. @param {CanvasRenderingContext2D} draw @param {number} size */
  const speaking = (draw, size) => {
    draw.globalAlpha = weight("speaking");
    draw.strokeStyle = colour("deep");
    draw.lineWidth = 0.022 * size;
    draw.lineCap = "round";
    for (let bar = 0; bar < BARS; bar++) {
      const level = voice[Math.min(bar, BARS - 1 - bar)] ?? 0;
      const angle = (TAU * (bar + 0.5)) / BARS - TAU / 4;
      const [from, to] = [0.62 * size, (0.645 + 0.33 * level) * size];
      draw.beginPath();
      draw.moveTo(from * Math.cos(angle), from * Math.sin(angle));
      draw.lineTo(to * Math.cos(angle), to * Math.sin(angle));
      draw.stroke();
    }
    draw.globalAlpha = 1;
  };

  const paint = () => {
    const draw = canvas?.getContext("2d");
    if (!canvas || !draw) return;
    const seconds = still.matches ? 1 : performance.now() / 1000;
    advance(seconds);
    const side = Math.round(canvas.clientWidth * Math.min(2, window.devicePixelRatio));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    draw.setTransform(1, 0, 0, 1, side / 2, side / 2);
    draw.clearRect(-side / 2, -side / 2, side, side);
    const size = side / 2;
    if (weight("listening") > 0.01) listening(draw, size, seconds);
    body(draw, size, seconds);
    if (weight("preparing") > 0.01) preparing(draw, size, seconds);
    if (weight("thinking") > 0.01) thinking(draw, size, seconds);
    if (weight("speaking") > 0.01) speaking(draw, size);
  };

  /** @param {number} now */
  const run = (now) => {
    if (now - painted >= PICTURE_MS) {
      painted = now;
      paint();
    }
    frame = still.matches ? 0 : requestAnimationFrame(run);
  };

  return {
    /** @param {HTMLCanvasElement} place */
    show(place) {
      canvas = place;
      cancelAnimationFrame(frame);
      run(performance.now());
    },
    hide() {
      cancelAnimationFrame(frame);
      frame = 0;
      canvas = null;
    },
    /** @param {string} to */
    be(to) {
      const known = STATES.find((one) => one === to);
      if (known) state = known;
      if (still.matches) paint();
    },
    /** @param {number} level of the microphone, in [0, 1] */
    hear(level) {
      heard = level;
    },
    /** @param {() => number} level of the answer, in [0, 1] */
    follow(level) {
      sounding = level;
    },
  };
})();
