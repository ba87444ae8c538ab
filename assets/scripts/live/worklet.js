// Runs on the audio thread. "omni-capture" hands the microphone over as int16 pieces with their
// level; "omni-playback" plays int16 pieces without gaps, can be silenced at once, and knows what
// was really heard.
const PIECE_S = 0.032;
const REPORT_S = 0.1;
const CUSHION_S = 0.12; // gathered before the first sound and after a gap

class Capture extends AudioWorkletProcessor {
  piece = new Int16Array(Math.round(sampleRate * PIECE_S));
  filled = 0;
  energy = 0;

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    const channels = inputs[0];
    if (!channels?.[0]) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sample = 0;
      for (const channel of channels) sample += channel[i] ?? 0;
      sample /= channels.length;
      this.energy += sample * sample;
      this.piece[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32767)));
      if (this.filled === this.piece.length) this.give();
    }
    return true;
  }

  give() {
    const level = Math.sqrt(this.energy / this.piece.length);
    this.port.postMessage({ samples: this.piece, level }, [this.piece.buffer]);
    this.piece = new Int16Array(Math.round(sampleRate * PIECE_S));
    this.filled = 0;
    this.energy = 0;
  }
}

class Playback extends AudioWorkletProcessor {
  silenced = 0; // answers up to this one are not played
  answer = 0;
  /** @type {Int16Array[]} */
  pieces = [];
  at = 0; // in the first piece
  waiting = 0; // samples
  played = 0;
  reported = 0;
  complete = false;
  running = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.type === "flush") this.flush(data.answer);
      else if (data.type === "sent") this.complete ||= data.answer === this.answer;
      else if (data.answer > this.silenced) this.push(data.answer, data.samples);
    };
  }

  /** @param {number} upTo */
  flush(upTo) {
    const { answer, played } = this;
    this.clear(answer);
    this.silenced = Math.max(answer, upTo);
    const samples = answer === upTo ? played : 0;
    this.port.postMessage({ type: "flushed", answer: upTo, samples });
  }

  /**
   * @param {number} answer
   * @param {Int16Array} samples
   */
  push(answer, samples) {
    if (answer !== this.answer) this.clear(answer);
    this.pieces.push(samples);
    this.waiting += samples.length;
  }

  /** @param {number} answer */
  clear(answer) {
    this.answer = answer;
    this.pieces = [];
    this.at = 0;
    this.waiting = 0;
    this.played = 0;
    this.reported = 0;
    this.complete = false;
    this.running = false;
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    const output = outputs[0]?.[0];
    if (!output) return true;
    if (!this.running) {
      if (this.waiting < CUSHION_S * sampleRate && !(this.complete && this.waiting)) return true;
      this.running = true;
      if (!this.played) this.port.postMessage({ type: "began", answer: this.answer });
    }
    for (let i = 0; i < output.length; i++) {
      const piece = this.pieces[0];
      if (!piece) break;
      output[i] = (piece[this.at++] ?? 0) / 32768;
      this.waiting--;
      this.played++;
      if (this.at === piece.length) {
        this.pieces.shift();
        this.at = 0;
      }
    }
    if (!this.waiting) this.running = false;
    if (!this.waiting || this.played - this.reported >= REPORT_S * sampleRate) {
      this.reported = this.played;
      this.port.postMessage({ type: "played", answer: this.answer, samples: this.played });
    }
    return true;
  }
}

registerProcessor("omni-capture", Capture);
registerProcessor("omni-playback", Playback);
