// What TypeScript's checker does not know of: Gradio's configuration, and the audio thread.
interface Window {
  gradio_config?: { root?: string; i18n_translations?: Record<string, Record<string, string>> };
}

declare const sampleRate: number; // Hz
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;
