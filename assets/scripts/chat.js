// Buttons in the messages of a chat that Gradio's chat does not have: copy, save, delete. The chat
// redraws its rows whenever it likes, so they are looked through again.
window.omniChat = (() => {
  const icon = (paths) =>
    '<svg viewBox="0 0 24 24" width="100%" height="100%" fill="none" stroke="currentColor" ' +
    `stroke-width="2" stroke-linecap="round" aria-hidden="true"><path d="${paths}"/></svg>`;
  const ICONS = {
    copy: icon("M9 9h11v11H9zM5 15H4V4h11v1"),
    keep: icon("M5 4h11l4 4v12H5zM8 4v5h7V4M8 20v-6h8v6"),
    discard: icon("M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5"),
    done: icon("M5 12l5 5L20 7"),
  };
  const DONE_MS = 1500;
  const PLACES = {
    copy: ".message-buttons .icon-button-wrapper",
    keep: ".message-buttons .icon-button-wrapper",
    discard: ".message-buttons-left .icon-button-wrapper", // with the question's answer
  };

  const rowOf = (chat, button) => {
    // Buttons stand behind the row that they belong to.
    const all = [...chat.querySelectorAll(".message-row, .message-buttons")];
    const before = all.slice(0, all.indexOf(button.closest(".message-buttons")));
    return before.filter((one) => one.classList.contains("message-row"));
  };

  const copy = async (row, button) => {
    const all = [...row.querySelectorAll(".message-content")];
    const said = all.filter((text) => !text.matches(":has(p > em:only-child)")); // no notes
    const text = (said.length ? said : all).map((one) => one.innerText.trim()).join("\n");
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else {
      // a page that is not from https or this machine
      const box = document.createElement("textarea");
      box.value = text;
      document.body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
    button.innerHTML = ICONS.done;
    setTimeout(() => (button.innerHTML = ICONS.copy), DONE_MS);
  };

  const addTo = (chat, action, label, send) => {
    chat.querySelectorAll(PLACES[action]).forEach((place) => {
      let button = place.querySelector(`.${action}`);
      if (!button) {
        button = document.createElement("button");
        button.className = `ours ${action}`;
        button.type = "button";
        button.innerHTML = ICONS[action];
        button.addEventListener("click", () => {
          const rows = rowOf(chat, button);
          if (action === "copy") copy(rows.at(-1), button);
          else send(rows.length - 1);
        });
        place.append(button);
      }
      if (button.title !== label()) {
        button.title = label();
        button.setAttribute("aria-label", label());
      }
    });
  };

  // A picture is a button that enlarges it; screen readers get its file's name.
  const namePictures = (chat) => {
    chat.querySelectorAll(".image-container button:not([aria-label]):has(img)").forEach((button) => {
      const name = button.querySelector("img").src.split("/").pop();
      button.setAttribute("aria-label", decodeURIComponent(name));
    });
  };

  return {
    watch(tab, action, label, send) {
      let due = false;
      const look = () => {
        due = false;
        const chat = document.getElementById(`${tab}-chat`);
        if (!chat) return;
        addTo(chat, action, label, send);
        namePictures(chat);
      };
      new MutationObserver(() => {
        if (!due) requestAnimationFrame(look);
        due = true;
      }).observe(document.body, { childList: true, subtree: true, characterData: true });
      look();
    },
    // On a phone the chat may stand far below the button that was pressed.
    reveal(tab) {
      const chat = document.getElementById(`${tab}-chat`);
      const narrow = window.matchMedia("(max-width: 48rem)").matches;
      if (chat && narrow) chat.scrollIntoView({ block: "start", behavior: "smooth" });
    },
  };
})();
