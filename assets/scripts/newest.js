// Work on the server that only counts while nothing newer of its name has begun in the page.
const omniNewest = (() => {
  /** @type {Record<string, number>} */
  const numbers = {};
  /** @param {string} name */
  const number = (name) => numbers[name] ?? 0;

  return {
    number,
    /** @param {string} name */
    begin(name) {
      numbers[name] = number(name) + 1;
      return numbers[name];
    },
  };
})();
