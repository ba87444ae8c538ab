// The page's words (assets/words) for what our scripts lay out, in the language that the page is in.
const omniWords = (() => {
  const COOKIE = /(?:^|; )omni_language=([\w-]+)/; // see header.js
  const fixed = document.getElementById("omni-locales")?.dataset.choice;

  const table = () => {
    const tables = omniGradio.translations();
    const wishes = [fixed, document.cookie.match(COOKIE)?.[1], ...navigator.languages, "en"];
    for (const wish of wishes) {
      for (const name of wish ? [wish, wish.split("-")[0]] : []) {
        const found = Object.keys(tables).find((one) => one.toLowerCase() === name?.toLowerCase());
        if (found) return tables[found] ?? {};
      }
    }
    return {};
  };

  /** @param {string} key as in assets/words */
  const say = (key) => table()[`omni.${key}`] ?? key;

  return { say };
})();
