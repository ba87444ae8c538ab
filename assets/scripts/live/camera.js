// What the camera sees: shown small, and a frame of it a second as JPEG. Nothing is kept here.
const omniLiveCamera = (() => {
  const FRAME_MS = 1000;
  const FRAME_WIDTH = 640;
  const JPEG_QUALITY = 0.7;
  /** @typedef {"user" | "environment"} Facing */
  /** @typedef {{preview: HTMLVideoElement, timer: number}} Camera */

  /** @param {Facing} facing */
  const wanted = (facing) => ({ facingMode: facing, width: { ideal: FRAME_WIDTH } });

  /**
   * @param {MediaStream} stream
   * @param {(frame: ArrayBuffer) => void} give
   * @returns {Camera}
   */
  const watch = (stream, give) => {
    const preview = omniLiveStage.video();
    preview.srcObject = stream;
    preview.play().catch(() => {});
    const canvas = document.createElement("canvas");
    /** @param {Blob | null} frame */
    const send = async (frame) => {
      if (frame) give(await frame.arrayBuffer());
    };
    const timer = setInterval(() => {
      if (!preview.videoWidth || !stream.getVideoTracks().length) return;
      const scale = Math.min(1, FRAME_WIDTH / preview.videoWidth);
      canvas.width = Math.round(preview.videoWidth * scale);
      canvas.height = Math.round(preview.videoHeight * scale);
      canvas.getContext("2d")?.drawImage(preview, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(send, "image/jpeg", JPEG_QUALITY);
    }, FRAME_MS);
    return { preview, timer };
  };

  /**
   * Take the camera out of the stream: it is off then.
   * @param {MediaStream} stream
   */
  const blind = (stream) => {
    for (const track of stream.getVideoTracks()) {
      track.onended = null;
      track.stop();
      stream.removeTrack(track);
    }
  };

  /**
   * Put the camera that looks the other way into the stream.
   * @param {MediaStream} stream
   * @param {Facing} facing
   */
  const change = async (stream, facing) => {
    blind(stream); // phones open one camera at a time
    const other = await navigator.mediaDevices.getUserMedia({ video: wanted(facing) });
    for (const track of other.getVideoTracks()) stream.addTrack(track);
  };

  /** @param {Camera} camera */
  const close = ({ preview, timer }) => {
    clearInterval(timer);
    preview.srcObject = null;
  };

  return { wanted, watch, blind, change, close };
})();
