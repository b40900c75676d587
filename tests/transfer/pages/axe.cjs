// node axe.cjs CHROMIUM PAGE…: look at pages at three widths, light and dark, and print what is wrong with each as JSON:
// serious findings of axe-core, messages on the console, addresses that are loaded, charts that are not drawn, and
// pixels by which the page is wider than its window, or something on it than the page's column.
const puppeteer = require("puppeteer-core");
const axe = require("axe-core");

async function look(browser, path, width, scheme) {
  const page = await browser.newPage();
  const console_ = [];
  const requests = [];
  page.on("console", (message) => ["error", "warn", "warning"].includes(message.type()) && console_.push(message.text()));
  page.on("pageerror", (error) => console_.push(String(error)));
  page.on("request", (request) => /^(data|file|blob):/.test(request.url()) || requests.push(request.url()));
  await page.setViewport({ width, height: 1200 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(`file://${path}`, { waitUntil: "load" });
  const drawn = "document.querySelectorAll('[data-chart]').length === document.querySelectorAll('.drawn svg').length";
  const charts = await page.waitForFunction(drawn, { timeout: 20000 }).then(() => true, () => false);
  const wide = await page.evaluate(() => {
    const right = document.body.getBoundingClientRect().right - parseFloat(getComputedStyle(document.body).paddingRight);
    const shown = [...document.querySelectorAll("body *:not(svg *)")].filter((one) => one.getClientRects().length);
    const beyond = Math.max(...shown.map((one) => one.getBoundingClientRect().right)) - right;
    return Math.round(Math.max(document.documentElement.scrollWidth - innerWidth, beyond));
  });
  // The policy of the page runs no script but its own: axe is run by the debugger, which is exempt.
  const client = await page.createCDPSession();
  await client.send("Runtime.evaluate", { expression: `${axe.source};0` });
  const { result } = await client.send("Runtime.evaluate", {
    expression: "axe.run(document).then((found) => JSON.stringify(found.violations))",
    awaitPromise: true,
    returnByValue: true,
  });
  const serious = JSON.parse(result.value)
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.nodes[0].html}`);
  if (process.env.SHOTS) {
    await page.screenshot({ path: `${process.env.SHOTS}/${require("path").basename(path)}-${width}-${scheme}.png`, fullPage: true });
  }
  await page.close();
  return { path, width, scheme, serious, console: console_, requests, charts, wide: Math.max(0, wide) };
}

(async () => {
  const [chromium, ...pages] = process.argv.slice(2);
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu"] });
  const found = [];
  for (const path of pages) {
    for (const width of [390, 800, 1280]) {
      for (const scheme of ["light", "dark"]) found.push(await look(browser, path, width, scheme));
    }
  }
  await browser.close();
  console.log(JSON.stringify(found));
})();
