// Firefox for tests/browser/other_browsers.py: commands come as lines of JSON, each is answered by
// one. Playwright drives a Firefox of its own only; this is the system's, by WebDriver BiDi.
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const [executablePath, width, height] = process.argv.slice(2);
const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
  extraPrefsFirefox: {
    "media.autoplay.default": 0,
    "media.navigator.streams.fake": true,
    "media.navigator.permission.disabled": true,
  },
});
const page = await browser.newPage();
await page.setViewport({ width: Number(width), height: Number(height) });
const errors = [];
page.on("console", (message) => {
  if (message.type() === "error") errors.push(message.text());
});
page.on("pageerror", (error) => errors.push(String(error)));

const commands = {
  open: (address) => page.goto(address),
  type: async (selector, text) => (await page.waitForSelector(selector)).type(text),
  click: async (selector) => (await page.waitForSelector(selector, { visible: true })).click(),
  press: (key) => page.keyboard.press(key),
  run: (code) => page.evaluate(`(() => { ${code} })()`),
  picture: (path) => page.screenshot({ path }),
  errors: () => errors,
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[name](...given)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  if (name === "open") answer.value = null; // a response is not for JSON
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
