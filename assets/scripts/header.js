// The switches of the page's head. The language is kept in a cookie, which the server reads with
// every request (demos/base/languages.py); light or dark is kept in the browser's storage.
const omniHeader = (() => {
  // What the browser calls the languages of the switch; the server writes it.
  /** @type {Record<string, string>} */
  const LOCALES = JSON.parse(document.getElementById("omni-locales")?.textContent ?? "{}");
  const SHADE = "omni.shade";

  /** @param {string} language */
  const turn = (language) => {
    const locale = LOCALES[language];
    if (!locale) return;
    document.documentElement.lang = locale;
    omniGradio.changeLocale(locale);
  };

  const chosen = document.cookie.match(/(?:^|; )omni_language=([\w-]+)/)?.[1];
  if (chosen) turn(chosen);

  let shade = omniPage.kept(SHADE);
  const follow = () => {
    if (shade && omniGradio.dark() !== (shade === "dark")) omniGradio.setDark(shade === "dark");
  };
  omniGradio.onDark(follow);
  follow();

  return {
    /** @param {string} language */
    choose(language) {
      // In a frame of another site cookies must say that they may be sent.
      const where = location.protocol === "https:" ? "SameSite=None; Secure" : "SameSite=Lax";
      // biome-ignore lint/suspicious/noDocumentCookie: the server must get it with every request
      document.cookie = `omni_language=${language}; path=/; max-age=31536000; ${where}`;
      turn(language);
    },
    /** To the text box of the tab that is shown. */
    skip() {
      omniPage.shown(`[id$="-text"] ${omniGradio.SELECTORS.textBox}`)?.focus();
    },
    shade() {
      shade = omniGradio.dark() ? "light" : "dark";
      omniPage.keep(SHADE, shade);
      follow();
    },
  };
})();
