// Runs on the audio thread. "omni-capture" hands the microphone over as int16 pieces with their
// level; "omni-playback" plays int16 pieces without gaps, can be silenced at once, and knows what
// was really heard.
const PIECE_S = 0.032;
const REPORT_S = 0.1;
const CUSHION_S = 0.12; // gathered before the first sound and after a gap

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(Math.round(sampleRate * PIECE_S));
    this.filled = 0;
    this.energy = 0;
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sample = 0;
      for (const channel of channels) sample += channel[i];
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
  constructor() {
    super();
    this.clear(0);
    this.port.onmessage = ({ data }) => {
      if (data.type === "flush") {
        const { answer, played } = this;
        this.clear(answer);
        this.silenced = Math.max(answer, data.answer);
        this.port.postMessage({ type: "flushed", answer: data.answer, samples: answer === data.answer ? played : 0 });
      } else if (data.type === "sent") {
        if (data.answer === this.answer) this.complete = true;
      } else if (data.answer > this.silenced) {
        if (data.answer !== this.answer) this.clear(data.answer);
        this.pieces.push(data.samples);
        this.waiting += data.samples.length;
      }
    };
  }

  clear(answer) {
    this.answer = answer;
    this.pieces = [];
    this.at = 0; // in the first piece
    this.waiting = 0;
    this.played = 0;
    this.reported = 0;
    this.complete = false;
    this.running = false;
    this.silenced ??= 0;
  }

  process(_inputs, outputs) {
    const output = outputs[0][0];
    if (!this.running) {
      if (this.waiting < CUSHION_S * sampleRate && !(this.complete && this.waiting)) return true;
      this.running = true;
      if (!this.played) this.port.postMessage({ type: "began", answer: this.answer });
    }
    for (let i = 0; i < output.length && this.waiting; i++) {
      output[i] = this.pieces[0][this.at++] / 32768;
      this.waiting--;
      this.played++;
      if (this.at === this.pieces[0].length) {
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
