// SPDX-License-Identifier: Apache-2.0
// Opens a report in headless Chromium and prints what is there, as JSON: node report.mjs NODE_MODULES CHROMIUM FILE
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, chromium, file] = process.argv.slice(2).map((path) => resolve(path));
const puppeteer = createRequire(join(modules, "package.json"))("puppeteer-core");
const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const facts = { messages: [], requests: [] };

async function open(width, scheme) {
  const page = await browser.newPage();
  page.on("console", (message) => facts.messages.push(message.text()));
  page.on("pageerror", (error) => facts.messages.push(String(error)));
  page.on("dialog", (dialog) => facts.messages.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  page.on("request", (request) => facts.requests.push(request.url().split(":")[0]));
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.goto(`file://${file}`);
  await page.waitForFunction(() => [...document.querySelectorAll("figure")].every((figure) => figure.querySelector("svg")));
  return page;
}

const look = () => {
  const style = getComputedStyle(document.body);
  return { background: style.backgroundColor, text: style.color, width: document.documentElement.scrollWidth, window: innerWidth };
};

const page = await open(1200, "light");
facts.light = await page.evaluate(look);
facts.title = await page.title();
facts.text = await page.evaluate(() => document.getElementById("report").innerText);
facts.scripts = await page.evaluate(() => document.querySelectorAll("script").length);
facts.evil = await page.evaluate(() => "evil" in window || document.querySelectorAll("#report img, #report script").length > 0);
facts.marks = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll("figure")].map((figure) =>
  [figure.id, { bars: figure.querySelectorAll("g[aria-label=bar] rect").length, dots: figure.querySelectorAll("g[aria-label=dot] > *").length,
    lines: figure.querySelectorAll("g[aria-label=line] path").length }])));
facts.pictures = await page.evaluate(() => [...document.querySelectorAll("figure svg:not([aria-hidden=true])")].map((svg) => [svg.getAttribute("role"), svg.getAttribute("aria-label")]));
facts.unnamed = await page.evaluate(() => [...document.querySelectorAll("section, [role=region], button")].filter((part) =>
  !(part.getAttribute("aria-label") ?? document.getElementById(part.getAttribute("aria-labelledby"))?.textContent ?? part.textContent).trim()).length);

// With the keyboard alone: to the head of a column, and its button pressed.
const column = async (title) => page.evaluate((title) => {
  const index = [...document.querySelectorAll("thead th")].findIndex((head) => head.textContent === title);
  return { sort: document.querySelectorAll("thead th")[index].getAttribute("aria-sort"), cells: [...document.querySelectorAll("tbody tr")].map((row) => row.children[index].textContent) };
}, title);
await page.keyboard.press("Tab");
for (let i = 0; i < 60; i++) {
  if ((await page.evaluate(() => document.activeElement.textContent)) === "ms") break;
  await page.keyboard.press("Tab");
}
facts.focus = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
await page.keyboard.press("Enter");
facts.descending = await column("ms");
await page.keyboard.press("Enter");
facts.ascending = await column("ms");

facts.dark = await (await open(1200, "dark")).evaluate(look);
facts.phone = await (await open(360, "light")).evaluate(look);
await browser.close();
console.log(JSON.stringify(facts));
