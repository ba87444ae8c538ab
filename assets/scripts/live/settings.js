// The settings of Talk, before it and meanwhile: microphone, loudspeaker, level, how sensitive.
const omniLiveSettings = (() => {
  /**
   * @typedef {object} Listener
   * @property {() => Promise<void>} microphone another one was chosen
   * @property {() => Promise<void>} loudspeaker the same
   * @property {() => void} sensitivity
   */
  /** @type {Listener} */
  let told = { microphone: async () => {}, loudspeaker: async () => {}, sensitivity: () => {} };
  /** @type {HTMLElement | null} */
  let sheet = null;

  /** @param {string} tag @param {Record<string, string>} [attributes] @param {string} [text] */
  const make = (tag, attributes = {}, text = "") => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };

  /** @param {HTMLElement} field @param {string} words */
  const labelled = (field, words) => {
    const label = make("label", { class: "talk-field" });
    label.append(make("span", {}, omniWords.say(words)), field);
    return label;
  };

  /** A picker of devices. @param {"microphone" | "loudspeaker"} kind */
  const picker = async (kind) => {
    const select = /** @type {HTMLSelectElement} */ (make("select", { "data-device": kind }));
    select.append(new Option(omniWords.say("talk-default"), ""));
    for (const { deviceId, label } of await omniLiveChoices.devices(kind)) {
      select.append(new Option(label, deviceId));
    }
    select.value = omniLiveChoices.chosen[kind];
    if (select.selectedIndex < 0) select.value = "";
    select.addEventListener("change", () => {
      omniLiveChoices.choose({ [kind]: select.value });
      told[kind]();
    });
    return labelled(select, `talk-${kind}`);
  };

  const rooms = () => {
    const box = make("fieldset", { class: "talk-rooms" });
    box.append(make("legend", {}, omniWords.say("talk-room")));
    for (const room of [...Object.keys(omniLiveChoices.offer().rooms), omniLiveChoices.OWN]) {
      const choice = /** @type {HTMLInputElement} */ (
        make("input", { type: "radio", name: "talk-room", value: room })
      );
      choice.checked = omniLiveChoices.chosen.room === room;
      choice.addEventListener("change", () => {
        const own = omniLiveChoices.thresholds();
        omniLiveChoices.choose(room === omniLiveChoices.OWN ? { room, own } : { room });
        reflect();
        told.sensitivity();
      });
      const label = make("label");
      label.append(choice, make("span", {}, omniWords.say(`talk-room-${room}`)));
      label.hidden = room === omniLiveChoices.OWN && !choice.checked;
      box.append(label);
    }
    return box;
  };

  /** @param {ReturnType<typeof omniLiveChoices.offer>["thresholds"][number]} threshold */
  const slider = ({ field, words, least, most, step }) => {
    const range = { type: "range", min: `${least}`, max: `${most}`, step: `${step}` };
    const input = /** @type {HTMLInputElement} */ (
      make("input", { ...range, "data-field": field })
    );
    input.addEventListener("input", () => {
      const own = { ...omniLiveChoices.thresholds(), [field]: Number(input.value) };
      omniLiveChoices.choose({ room: omniLiveChoices.OWN, own });
      reflect();
    });
    input.addEventListener("change", () => told.sensitivity());
    const label = labelled(input, words);
    label.append(make("output"));
    return label;
  };

  /** Show what is chosen. */
  const reflect = () => {
    const values = omniLiveChoices.thresholds();
    /** @type {NodeListOf<HTMLInputElement>} */
    const sliders = document.querySelectorAll(".talk-sheet [data-field]");
    for (const input of sliders) {
      input.value = String(values[input.dataset.field ?? ""]);
      const shown = input.parentElement?.querySelector("output");
      if (shown) shown.textContent = input.value;
    }
    /** @type {NodeListOf<HTMLInputElement>} */
    const choices = document.querySelectorAll(".talk-sheet [name=talk-room]");
    for (const choice of choices) {
      choice.checked = choice.value === omniLiveChoices.chosen.room;
      const own = choice.value === omniLiveChoices.OWN;
      if (own && choice.parentElement) choice.parentElement.hidden = !choice.checked;
    }
  };

  const level = () => {
    const box = make("div", { class: "talk-level-box" });
    const about = { role: "meter", "aria-valuemin": "0", "aria-valuemax": "100" };
    const bar = { ...about, "aria-valuenow": "0", "aria-label": omniWords.say("talk-level") };
    box.append(
      make("p", {}, omniWords.say("talk-try")),
      make("div", { class: "talk-level", ...bar }),
    );
    return box;
  };

  const fill = async () => {
    const content = [level(), await picker("microphone")];
    if (omniLiveChoices.canChooseLoudspeaker()) content.push(await picker("loudspeaker"));
    const more = make("details", { class: "talk-more" });
    more.append(make("summary", {}, omniWords.say("talk-more")));
    more.append(...omniLiveChoices.offer().thresholds.map(slider));
    content.push(rooms(), more);
    return content;
  };

  const close = () => {
    if (!sheet) return;
    const inside = sheet.contains(document.activeElement);
    sheet.remove();
    sheet = null;
    /** @type {HTMLElement | null | undefined} */
    const button = omniLiveStage.root()?.querySelector('[data-act="settings"]');
    button?.setAttribute("aria-expanded", "false");
    if (inside) button?.focus();
  };

  /** @param {Listener} listener */
  const open = async (listener) => {
    told = listener;
    close();
    const name = { role: "group", "aria-label": omniWords.say("talk-settings") };
    const made = make("div", { class: "talk-sheet", ...name });
    sheet = made;
    made.append(...(await fill()));
    if (sheet !== made) return; // closed meanwhile
    const middle = omniLiveStage.root()?.querySelector(".talk-middle");
    middle?.after(made);
    middle?.parentElement
      ?.querySelector('[data-act="settings"]')
      ?.setAttribute("aria-expanded", "true");
    reflect();
  };

  /** A device came or went. */
  const renew = async () => {
    for (const kind of /** @type {const} */ (["microphone", "loudspeaker"])) {
      const old = sheet?.querySelector(`[data-device=${kind}]`)?.closest("label");
      if (old) old.replaceWith(await picker(kind));
    }
  };

  /** @param {number} share of the bar */
  const meter = (share) => {
    /** @type {HTMLElement | null | undefined} */
    const bar = sheet?.querySelector(".talk-level");
    bar?.style.setProperty("--level", share.toFixed(3));
    bar?.setAttribute("aria-valuenow", String(Math.round(100 * share)));
  };

  return { open, close, isOpen: () => sheet !== null, meter, renew };
})();
