// The switches of the page's head. The language is kept in a cookie, which the server reads with
// every request (demos/base/languages.py); light or dark is kept in the browser's storage.
window.omniHeader = (() => {
  // What the browser calls the languages of the switch; the server writes it.
  const LOCALES = JSON.parse(document.getElementById("omni-locales")?.textContent ?? "{}");
  const SHADE = "omni.shade";

  // Gradio can turn all its words into another language, but has no public call for it: its own
  // settings use this function of its core module, which is imported here from the same address.
  const turn = async (language) => {
    const locale = LOCALES[language];
    document.documentElement.lang = locale;
    const names = [
      ...[...document.querySelectorAll("link[rel=modulepreload]")].map((link) => link.href),
      ...performance.getEntriesByType("resource").map((entry) => entry.name),
    ];
    const core = names.find((name) => /\/assets\/core-[^/]+\.js$/.test(name));
    if (core) (await import(core)).changeLocale(locale);
  };

  const chosen = document.cookie.match(/(?:^|; )omni_language=([\w-]+)/)?.[1];
  if (chosen in LOCALES) turn(chosen);

  const stored = () => {
    try {
      return localStorage.getItem(SHADE);
    } catch {
      return null; // a browser that keeps nothing
    }
  };
  let shade = stored();
  const follow = () => {
    if (!shade || document.body.classList.contains("dark") === (shade === "dark")) return;
    document.body.classList.toggle("dark", shade === "dark");
  };
  // Gradio sets the class when it starts and when the system's scheme changes.
  new MutationObserver(follow).observe(document.body, { attributeFilter: ["class"] });
  follow();

  return {
    choose(language) {
      // In a frame of another site cookies must say that they may be sent.
      const where = location.protocol === "https:" ? "SameSite=None; Secure" : "SameSite=Lax";
      document.cookie = `omni_language=${language}; path=/; max-age=31536000; ${where}`;
      turn(language);
    },
    shade() {
      shade = document.body.classList.contains("dark") ? "light" : "dark";
      try {
        localStorage.setItem(SHADE, shade);
      } catch {
        // it holds until the page is closed
      }
      follow();
    },
  };
})();
